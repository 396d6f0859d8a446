import { spawn } from 'node:child_process';
import { cpus } from 'node:os';
import { createInterface } from 'node:readline';
import { root } from '../setup/paths.mjs';
import { TapCounter } from './count-tap.mjs';

/** Longest that a test file may take before its process is killed. */
const longestMilliseconds = 900_000;

/**
 * A test file in a process of plain Node. tap's own runner puts hooks for coverage and mocks into it and into every process
 * that it starts, which doubles the time that one takes to start; the tests start hundreds.
 *
 * @param {string} file - Relative to the root.
 * @returns {Promise<{ lines: readonly string[], failure: string | undefined, milliseconds: number }>}
 */
function runFile(file) {
	return new Promise((resolve) => {
		const started = performance.now();
		const child = spawn(process.execPath, [file], {
			cwd: root,
			env: {
				// Threads of one file that wait for one another would keep the other files from their core.
				OMP_WAIT_POLICY: 'passive',
				...process.env,
				// Its own limit comes first, and then names the test that ran.
				TAP_TIMEOUT: String(longestMilliseconds / 1000 - 10),
			},
			stdio: ['ignore', 'pipe', 'inherit'],
		});
		const timer = setTimeout(() => child.kill('SIGKILL'), longestMilliseconds);
		/** @type {string[]} */
		const lines = [];
		createInterface({ input: child.stdout }).on('line', (line) => lines.push(line));
		const end = (/** @type {string | undefined} */ failure) => {
			clearTimeout(timer);
			resolve({ lines, failure, milliseconds: performance.now() - started });
		};
		child.on('error', ({ message }) => end(`could not be started: ${message}`));
		child.on('close', (status, signal) => {
			if (status !== 0) end(`ended with ${signal ?? status}`);
			// Where nothing is tested the plan says why; without a reason the tests were forgotten.
			else end(lines.some((line) => /^ *((not )?ok\b|1\.\.0 #)/.test(line)) ? undefined : 'holds no test');
		});
	});
}

/**
 * Runs compiled test files, one a core at a time, shows their TAP as that of one run and counts it.
 *
 * @param {readonly string[]} files - Relative to the root.
 * @returns {Promise<import('./count-tap.mjs').TapCount>}
 */
export async function runTap(files) {
	const counter = new TapCounter();
	const say = (/** @type {string} */ line) => {
		console.log(line);
		counter.push(line);
	};
	say('TAP version 14');
	say(`1..${files.length}`);
	const waiting = [...files];
	let ended = 0;
	const worker = async () => {
		for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
			const { lines, failure, milliseconds } = await runFile(file);
			say(`# Subtest: ${file}`);
			for (const line of lines) if (line !== 'TAP version 14') say(line === '' ? '' : `    ${line}`);
			ended++;
			const time = `# time=${milliseconds.toFixed(0)}ms`;
			say(failure === undefined ? `ok ${ended} - ${file} ${time}` : `not ok ${ended} - ${file} (${failure}) ${time}`);
		}
	};
	await Promise.all(Array.from({ length: Math.max(2, cpus().length) }, worker));
	const count = counter.total();
	// Again at the end: in thousands of lines nobody finds them.
	for (const failure of count.failures) console.log(`not ok - ${failure}`);
	return count;
}
