#!/usr/bin/env node
/**
 * `npm test [word]`: set-up, lint, types (tsc is part of the set-up), then every test file, or those whose path holds the
 * word. Ends with one line: N passed, N failed. Lint counts as a test.
 */
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { lintAll } from './check/lint-all.mjs';
import { root } from './setup/paths.mjs';
import { reportFailure } from './setup/report-failure.mjs';
import { setUp } from './setup/stages.mjs';

const word = process.argv[2];

/** Runs tap on the compiled tests and counts the assertions of its TAP output. */
function runTap(files) {
	return new Promise((resolve) => {
		const tap = spawn(join(root, 'node_modules/.bin/tap'), ['--reporter=tap', ...files], {
			cwd: root,
			stdio: ['ignore', 'pipe', 'inherit'],
		});
		let pending = '';
		const count = { passed: 0, failed: 0, skipped: 0 };
		tap.stdout.on('data', (chunk) => {
			process.stdout.write(chunk);
			pending += chunk;
			const lines = pending.split('\n');
			pending = lines.pop();
			for (const line of lines) {
				// Leaves only: a subtest or a file that holds assertions ends its line with `{` or has its own count above it.
				const point = /^\s*(not )?ok \d+ - (.*)$/.exec(line);
				if (point === null || /^(dist[/\\]|.*\{$)/.test(point[2]) || / # time=/.test(line)) {
					if (point?.[1] !== undefined && /^dist/.test(point[2])) count.failedFiles = (count.failedFiles ?? 0) + 1;
					continue;
				}
				if (/# SKIP/i.test(line)) count.skipped++;
				else if (point[1] === undefined) count.passed++;
				else count.failed++;
			}
		});
		tap.on('close', (status) => {
			// A file that died without a failed assertion is a failure all the same.
			if (status !== 0 && count.failed === 0) count.failed = Math.max(1, count.failedFiles ?? 0);
			resolve(count);
		});
	});
}

try {
	await setUp();
	const lintFailures = word === undefined ? await lintAll({ fix: false }) : 0;
	const files = readdirSync(join(root, 'dist/test'), { recursive: true })
		.filter((name) => name.endsWith('.test.js') && (word === undefined || name.includes(word)))
		.map((name) => join('dist/test', name))
		.sort();
	if (files.length === 0) throw new Error(`no test file matches ${word}`);
	const { passed, failed, skipped } = await runTap(files);
	const allPassed = passed + (word === undefined ? 2 - lintFailures : 0);
	const allFailed = failed + lintFailures;
	if (lintFailures > 0) console.log(`lint: ${lintFailures} of biome and clang-format failed`);
	console.log(`${allPassed} passed, ${allFailed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
	process.exitCode = allFailed === 0 ? 0 : 1;
} catch (error) {
	reportFailure(error);
	console.log('0 passed, 1 failed');
	process.exitCode = 1;
}
