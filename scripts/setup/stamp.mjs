import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { root } from './paths.mjs';

/**
 * Changes when a file below `paths` may have: names, sizes and times, no contents, so that it takes milliseconds.
 *
 * @param {readonly string[]} paths - Relative to the root; those that are missing count as such.
 * @param {...string} settings - What else the outcome depends on.
 */
export function fingerprint(paths, ...settings) {
	const hash = createHash('sha256');
	for (const setting of settings) hash.update(`${setting}\0`);
	const visit = (/** @type {string} */ path) => {
		const stats = statSync(join(root, path), { throwIfNoEntry: false });
		if (stats?.isDirectory()) for (const name of readdirSync(join(root, path)).sort()) visit(join(path, name));
		else hash.update(`${path}\0${stats?.size}\0${stats?.mtimeMs}\0`);
	};
	for (const path of paths) visit(path);
	return hash.digest('hex');
}

/**
 * Runs a stage unless its inputs are as when it last succeeded and its output is still there.
 *
 * @param {string} name
 * @param {string} inputs - A fingerprint.
 * @param {string} output - Relative to the root.
 * @param {() => Promise<unknown>} run
 */
export async function unlessDone(name, inputs, output, run) {
	const stamp = join(root, 'build/stamps', name);
	if (existsSync(join(root, output)) && existsSync(stamp) && readFileSync(stamp, 'utf8') === inputs) return;
	await run();
	mkdirSync(dirname(stamp), { recursive: true });
	writeFileSync(stamp, inputs);
}
