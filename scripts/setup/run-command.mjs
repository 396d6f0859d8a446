import { spawn } from 'node:child_process';
import { SetupError } from './errors.mjs';

/**
 * Runs a program; its output is kept and shown only when it fails, or passed on with `inherit`.
 *
 * @param {string} command
 * @param {readonly string[]} args
 * @param {{ cwd?: string, env?: NodeJS.ProcessEnv, inherit?: boolean, onLine?: (line: string) => void }} [options]
 * @returns {Promise<string>} Standard output.
 */
export function runCommand(command, args, options = {}) {
	return new Promise((resolve, reject) => {
		const child = spawn(command, args, {
			cwd: options.cwd,
			env: options.env ?? process.env,
			stdio: options.inherit ? 'inherit' : ['ignore', 'pipe', 'pipe'],
		});
		let stdout = '';
		let all = '';
		const take = (chunk) => {
			all += chunk;
			if (options.onLine)
				for (const line of String(chunk).split('\n')) if (line.trim() !== '') options.onLine(line.trim());
		};
		child.stdout?.on('data', (chunk) => {
			stdout += chunk;
			take(chunk);
		});
		child.stderr?.on('data', take);
		const stop = (signal) => child.kill(signal);
		process.once('SIGINT', stop);
		process.once('SIGTERM', stop);
		child.on('error', (cause) => reject(new SetupError(`[setup] ${command} could not be started: ${cause.message}`)));
		child.on('close', (status, signal) => {
			process.off('SIGINT', stop);
			process.off('SIGTERM', stop);
			if (status === 0) return resolve(stdout);
			const tail = all.split('\n').slice(-40).join('\n');
			reject(
				new SetupError(
					`[setup] ${[command, ...args].join(' ')} failed (${signal ?? `status ${status}`})${options.inherit ? '' : `:\n${tail}`}`,
				),
			);
		});
	});
}
