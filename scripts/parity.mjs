#!/usr/bin/env node
/** `npm run parity -- DIR`: set-up, then test/parity/main.ts. */
import { reportFailure } from './setup/report-failure.mjs';
import { setUp } from './setup/stages.mjs';

try {
	await setUp();
	await import('../dist/test/parity/main.js');
} catch (error) {
	reportFailure(error);
}
