import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { root } from './paths.mjs';

/** Names, sizes and times of files below some paths: changes when one of them may have changed. @param {readonly string[]} paths */
export function fingerprint(paths, ...texts) {
	const hash = createHash('sha256');
	for (const text of texts) hash.update(`${text}\0`);
	const visit = (path) => {
		if (!existsSync(path)) return;
		const stats = statSync(path);
		if (stats.isDirectory()) for (const name of readdirSync(path).sort()) visit(join(path, name));
		else hash.update(`${path}\0${stats.size}\0${stats.mtimeMs}\0`);
	};
	for (const path of paths) visit(join(root, path));
	return hash.digest('hex');
}

/** Runs a stage unless its inputs are as they were when it last succeeded and its output is still there. */
export async function unlessDone(name, inputs, output, run) {
	const stamp = join(root, 'build', 'stamps', name);
	const done = existsSync(join(root, output)) && existsSync(stamp) && readFileSync(stamp, 'utf8') === inputs;
	if (done) return false;
	await run();
	mkdirSync(dirname(stamp), { recursive: true });
	writeFileSync(stamp, inputs);
	return true;
}
