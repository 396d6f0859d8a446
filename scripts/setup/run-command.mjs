import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { InterruptedError, SetupError } from './errors.mjs';

const linesShown = 60;

/**
 * Runs a program. Its output is kept and shown when it fails; a signal to this process is passed on.
 *
 * @param {string} command
 * @param {readonly string[]} args
 * @param {{ cwd?: string, env?: NodeJS.ProcessEnv, onLine?: (line: string) => void }} [options]
 * @returns {Promise<void>}
 * @throws {SetupError} With the end of its output.
 * @throws {InterruptedError}
 */
export function runCommand(command, args, { cwd, env = process.env, onLine } = {}) {
	return new Promise((resolve, reject) => {
		const child = spawn(command, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
		/** @type {string[]} */
		const tail = [];
		for (const input of [child.stdout, child.stderr]) {
			createInterface({ input }).on('line', (line) => {
				if (line.trim() === '') return;
				tail.push(line);
				if (tail.length > linesShown) tail.shift();
				onLine?.(line.trim());
			});
		}
		/** @type {NodeJS.Signals | undefined} */
		let interruptedBy;
		const stop = (/** @type {NodeJS.Signals} */ signal) => {
			interruptedBy = signal;
			child.kill(signal);
		};
		process.on('SIGINT', stop).on('SIGTERM', stop);
		const settled = () => process.off('SIGINT', stop).off('SIGTERM', stop);
		child.on('error', (cause) => {
			settled();
			reject(new SetupError(`[setup] ${command} could not be started: ${cause.message}`));
		});
		child.on('close', (status, signal) => {
			settled();
			if (interruptedBy !== undefined)
				reject(new InterruptedError(`[setup] stopped by ${interruptedBy}; run it again to go on`));
			else if (status === 0) resolve();
			else
				reject(
					new SetupError(
						`[setup] ${[command, ...args].join(' ')} failed (${signal ?? `status ${status}`}):\n${tail.join('\n')}`,
					),
				);
		});
	});
}
