import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Root of the package: a checkout, or node_modules/ehr-jepa. */
export const root = fileURLToPath(new URL('../..', import.meta.url));

/** Per-user folder of what is fetched once for all checkouts. */
export function cacheFolder() {
	return process.env.EHR_JEPA_CACHE || join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'ehr-jepa');
}

/** True for a git checkout with development tools; false when installed as a dependency. */
export function isCheckout() {
	return !root.includes(`${join('node_modules', 'ehr-jepa')}`);
}
