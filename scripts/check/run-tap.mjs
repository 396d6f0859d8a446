import { spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { root } from '../setup/paths.mjs';
import { TapCounter } from './count-tap.mjs';

/**
 * Runs compiled test files, shows their TAP and counts it.
 *
 * @param {readonly string[]} files - Relative to the root.
 * @returns {Promise<import('./count-tap.mjs').TapCount>}
 */
export function runTap(files) {
	const command = join(root, 'node_modules/.bin/tap');
	// Fresh from its package, tap loads tests through a compiler of TypeScript, which .taprc leaves out: it cannot resolve what
	// some packages export. It would build itself anew without it, but only for the next run.
	spawnSync(command, ['build'], { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] });
	return new Promise((resolve, reject) => {
		const tap = spawn(command, ['--reporter=tap', ...files], {
			cwd: root,
			stdio: ['ignore', 'pipe', 'inherit'],
		});
		const counter = new TapCounter();
		createInterface({ input: tap.stdout }).on('line', (line) => {
			console.log(line);
			counter.push(line);
		});
		tap.on('error', reject);
		tap.on('close', (status) => {
			const { passed, failed, skipped, failures } = counter.total();
			// Again at the end: in thousands of lines nobody finds them.
			for (const failure of failures) console.log(`not ok - ${failure}`);
			// Whatever the lines said, a runner that failed is a failure.
			resolve({ passed, failed: status === 0 ? failed : Math.max(1, failed), skipped, failures });
		});
	});
}
