import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../setup/paths.mjs';

const nativeFolders = ['native', 'bindings', 'test/native', 'test/cases', 'bench/native'];

/**
 * Biome for TypeScript, JavaScript and JSON; tsc for the types of scripts/; knip for exports of lib/ that nobody uses (tests do
 * not count); clang-format for C++ and CUDA.
 *
 * @param {{ fix: boolean }} options
 * @returns {{ name: string, passed: boolean }[]} One entry per linter.
 */
export function lintAll({ fix }) {
	const sources = nativeFolders
		.filter((folder) => existsSync(join(root, folder)))
		.flatMap((folder) =>
			readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).map((name) => join(folder, name)),
		)
		.filter((name) => /\.(cpp|h|cu)$/.test(name));
	/** @param {string} command @param {readonly string[]} args */
	const passes = (command, args) => {
		const { status, error } = spawnSync(join(root, 'node_modules/.bin', command), args, {
			cwd: root,
			stdio: 'inherit',
		});
		if (error !== undefined)
			console.error(`${command} must be in node_modules but cannot be run (${error.message}); run: npm ci`);
		return status === 0;
	};
	return [
		{ name: 'biome', passed: passes('biome', ['check', '--error-on-warnings', ...(fix ? ['--write'] : []), '.']) },
		{ name: 'types of scripts', passed: passes('tsc', ['-p', 'scripts']) },
		{
			name: 'unused exports',
			passed: passes('knip', ['--production', '--include', 'files,exports,types', '--no-progress']),
		},
		{
			name: 'clang-format',
			passed: passes('clang-format', [...(fix ? ['-i'] : ['--dry-run', '-Werror']), ...sources]),
		},
	];
}
