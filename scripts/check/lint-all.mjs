import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../setup/paths.mjs';

/** @returns {Promise<number>} How many of the linters failed. @param {{ fix: boolean }} options */
export async function lintAll({ fix }) {
	const sources = ['native', 'bindings', 'test/native', 'test/cases', 'bench/native']
		.filter((folder) => existsSync(join(root, folder)))
		.flatMap((folder) => readdirSync(join(root, folder), { recursive: true }).map((name) => join(folder, name)))
		.filter((name) => /\.(cpp|h|cu)$/.test(name));
	const run = (command, args) =>
		spawnSync(join(root, 'node_modules/.bin', command), args, { cwd: root, stdio: 'inherit' }).status;
	const biome = run('biome', ['check', '--error-on-warnings', ...(fix ? ['--write'] : []), '.']);
	const clang = run('clang-format', [...(fix ? ['-i'] : ['--dry-run', '-Werror']), ...sources]);
	return (biome === 0 ? 0 : 1) + (clang === 0 ? 0 : 1);
}
