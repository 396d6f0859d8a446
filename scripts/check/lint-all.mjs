import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../setup/paths.mjs';

const nativeFolders = ['native', 'bindings', 'test/native', 'test/cases', 'bench/native'];

/**
 * Biome for TypeScript, JavaScript and JSON; clang-format for C++ and CUDA.
 *
 * @param {{ fix: boolean }} options
 * @returns {{ name: string, passed: boolean }[]} One entry per linter.
 */
export function lintAll({ fix }) {
	const sources = nativeFolders
		.filter((folder) => existsSync(join(root, folder)))
		.flatMap((folder) => readdirSync(join(root, folder), { recursive: true }).map((name) => join(folder, name)))
		.filter((name) => /\.(cpp|h|cu)$/.test(name));
	const passes = (command, args) =>
		spawnSync(join(root, 'node_modules/.bin', command), args, { cwd: root, stdio: 'inherit' }).status === 0;
	return [
		{ name: 'biome', passed: passes('biome', ['check', '--error-on-warnings', ...(fix ? ['--write'] : []), '.']) },
		{
			name: 'clang-format',
			passed: passes('clang-format', [...(fix ? ['-i'] : ['--dry-run', '-Werror']), ...sources]),
		},
	];
}
