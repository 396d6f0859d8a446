#!/usr/bin/env node
/** `npm run bench -- <name> [options]`: a compiled benchmark of bench/, or the native ops (`ops`). Lists them without a name. */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './setup/paths.mjs';
import { reportFailure } from './setup/report-failure.mjs';
import { setUp } from './setup/stages.mjs';

try {
	await setUp({ nativeTests: true });
	const [name, ...rest] = process.argv.slice(2);
	const folder = join(root, 'dist/bench');
	const scripts = existsSync(folder)
		? readdirSync(folder)
				.filter((file) => file.endsWith('.js'))
				.map((file) => file.slice(0, -3))
		: [];
	if (name === 'ops')
		process.exitCode = spawnSync(join(root, 'build/release/ehrjepa_bench'), rest, { stdio: 'inherit' }).status ?? 1;
	else if (name !== undefined && scripts.includes(name))
		process.exitCode =
			spawnSync(process.execPath, [join(folder, `${name}.js`), ...rest], { stdio: 'inherit' }).status ?? 1;
	else {
		console.log(`usage: npm run bench -- <${['ops', ...scripts].join(' | ')}>`);
		process.exitCode = name === undefined ? 0 : 2;
	}
} catch (error) {
	reportFailure(error);
}
