#!/usr/bin/env node
/** `setup`: what a user needs; `setup build [--preset NAME]`: libtorch, the addon and the native tests. */
import { parseArgs } from 'node:util';
import { presetNames } from './setup/presets.mjs';
import { reportFailure } from './setup/report-failure.mjs';
import { setUp } from './setup/stages.mjs';

const usage = `usage: setup [build] [--preset ${presetNames().join('|')}]

Finds or fetches libtorch and builds the addon; in a checkout also node packages and TypeScript, or with "build"
the native tests and benchmarks.
Environment: LIBTORCH, EHR_JEPA_CACHE, EHR_JEPA_CUDA, EHR_JEPA_LIBTORCH_SHA256, CXX; see docs/setup.md.`;

/** @returns {{ preset?: string, help: boolean, only: boolean } | { problem: string }} */
function parse() {
	try {
		const options = /** @type {const} */ ({ preset: { type: 'string' }, help: { type: 'boolean', short: 'h' } });
		const { values, positionals } = parseArgs({ allowPositionals: true, options });
		const [verb, ...rest] = positionals;
		if ((verb !== undefined && verb !== 'build') || rest.length > 0)
			return { problem: `unexpected: ${positionals.join(' ')}` };
		const { preset, help = false } = values;
		return { ...(preset === undefined ? {} : { preset }), help, only: verb === 'build' };
	} catch (error) {
		return { problem: /** @type {Error} */ (error).message };
	}
}

const options = parse();
if ('problem' in options) {
	console.error(`${options.problem}\n\n${usage}`);
	process.exitCode = 2;
} else if (options.help) {
	console.log(usage);
} else {
	try {
		const { help: _, only, ...preset } = options;
		await setUp({ ...preset, ...(only ? { only: 'addon', nativeTests: true } : {}) });
	} catch (error) {
		reportFailure(error);
	}
}
