import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Root of the package: a checkout, or node_modules/ehr-jepa. */
export const root = fileURLToPath(new URL('../..', import.meta.url));

/** Per-user folder of what is fetched once for all checkouts. */
export function cacheFolder() {
	return process.env.EHR_JEPA_CACHE || join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'ehr-jepa');
}

/** True where the sources and development tools are; false for an installed package, whose archive has no lock file. */
export function isCheckout() {
	return existsSync(join(root, 'package-lock.json'));
}

/** An executable of a node package: below this package, or hoisted beside it. @param {string} name */
export function nodeExecutable(name) {
	return [join(root, 'node_modules/.bin', name), join(root, '..', '.bin', name)].find((path) => existsSync(path));
}
