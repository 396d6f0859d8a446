#!/usr/bin/env node
/**
 * `npm test [-- word]`: set-up, linters, types, then every test file; with a word only the test files whose path holds
 * it. The native tests are one of the files (test/native/native.test.ts). The last line is `N passed, N failed`: assertions,
 * each linter and the type check.
 */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { lintAll } from './check/lint-all.mjs';
import { InterruptedError } from './setup/errors.mjs';
import { root } from './setup/paths.mjs';
import { reportFailure } from './setup/report-failure.mjs';
import { buildTypeScript, setUp } from './setup/stages.mjs';

/** The type check as a test; files with type errors are compiled all the same, so the tests can run. */
async function typesPass() {
	try {
		await buildTypeScript();
		return true;
	} catch (error) {
		if (error instanceof InterruptedError) throw error;
		console.error(/** @type {Error} */ (error).message);
		return false;
	}
}

/** Compiled test files. Named by their sources: the output of a deleted test is no test. @param {string} word */
function testFiles(word) {
	return readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' })
		.filter((name) => name.endsWith('.test.ts') && join('test', name).includes(word))
		.map((name) => join('dist/test', name.replace(/\.ts$/, '.js')))
		.sort();
}

/** @param {string | undefined} word */
async function testAll(word) {
	await setUp({ only: 'addon', nativeTests: true });
	const checks = [{ name: 'types', passed: await typesPass() }, ...(word === undefined ? lintAll({ fix: false }) : [])];
	const wanted = testFiles(word ?? '');
	const files = wanted.filter((file) => existsSync(join(root, file)));
	for (const file of wanted) if (!files.includes(file)) checks.push({ name: `${file} was compiled`, passed: false });
	if (wanted.length === 0) checks.push({ name: `a test file has ${word} in its path`, passed: false });
	// It parses with a package, which set-up has installed by now.
	const { runTap } = await import('./check/run-tap.mjs');
	const tap = files.length === 0 ? { passed: 0, failed: 0, skipped: 0, failures: [] } : await runTap(files);
	for (const { name, passed } of checks) console.log(`${passed ? 'ok' : 'not ok'} - ${name}`);
	if (tap.skipped > 0) console.log(`${tap.skipped} skipped; each line marked SKIP says why`);
	const failedChecks = checks.filter(({ passed }) => !passed).length;
	return { passed: tap.passed + checks.length - failedChecks, failed: tap.failed + failedChecks };
}

try {
	const { passed, failed } = await testAll(process.argv[2]);
	console.log(`${passed} passed, ${failed} failed`);
	process.exitCode = failed === 0 ? 0 : 1;
} catch (error) {
	reportFailure(error);
	console.log('0 passed, 1 failed');
}
