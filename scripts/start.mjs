#!/usr/bin/env node
/** `npm start`: set-up, then the demo; arguments are those of `ehr-jepa demo`. */
import { reportFailure } from './setup/report-failure.mjs';
import { setUp } from './setup/stages.mjs';

try {
	await setUp();
	const { main } = await import('../dist/lib/cli/main.js');
	process.exitCode = await main(['demo', ...process.argv.slice(2)]);
} catch (error) {
	reportFailure(error);
}
