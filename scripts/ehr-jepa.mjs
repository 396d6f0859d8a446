#!/usr/bin/env node
/** The command line: `setup` runs here, without anything built; all else is forwarded to the compiled program. */
import { existsSync } from 'node:fs';

const main = new URL('../dist/lib/cli/main.js', import.meta.url);
if (process.argv[2] === 'setup') {
	process.argv.splice(2, 1);
	await import('./setup.mjs');
} else if (!existsSync(main)) {
	console.error('ehr-jepa is not built here yet. Run: npm run setup');
	process.exitCode = 5;
} else {
	const { run } = await import(main.href);
	await run(process.argv.slice(2));
}
