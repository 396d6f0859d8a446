#!/usr/bin/env node
/** `setup`: everything; `setup build [--preset release|debug|asan]`: the addon alone. */
import { parseArgs } from 'node:util';
import { reportFailure } from './setup/report-failure.mjs';
import { setUp } from './setup/stages.mjs';

try {
	const { values, positionals } = parseArgs({
		allowPositionals: true,
		options: { preset: { type: 'string' }, help: { type: 'boolean' } },
	});
	if (values.help || positionals.length > 1 || (positionals[0] !== undefined && positionals[0] !== 'build')) {
		console.log(
			'usage: setup [build] [--preset release|debug|asan]\nFinds or fetches libtorch and builds the addon; without "build" also node packages and TypeScript.',
		);
		process.exitCode = values.help ? 0 : 2;
	} else {
		await setUp({
			...(values.preset === undefined ? {} : { preset: values.preset }),
			...(positionals[0] === 'build' ? { only: 'addon' } : {}),
		});
	}
} catch (error) {
	reportFailure(error);
}
