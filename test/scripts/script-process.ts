import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';

export interface Ended {
	readonly status: number | null;
	readonly signal: NodeJS.Signals | null;
	readonly stdout: string;
	readonly stderr: string;
}

/** A Node process; `ended` resolves when it is over. */
export function startNode(
	args: readonly string[],
	env: NodeJS.ProcessEnv,
): { readonly child: ChildProcess; readonly ended: Promise<Ended> } {
	const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
	let stdout = '';
	let stderr = '';
	child.stdout.setEncoding('utf8').on('data', (text: string) => {
		stdout += text;
	});
	child.stderr.setEncoding('utf8').on('data', (text: string) => {
		stderr += text;
	});
	const ended = new Promise<Ended>((resolve, reject) => {
		child.on('error', reject).on('close', (status, signal) => resolve({ status, signal, stdout, stderr }));
	});
	return { child, ended };
}

/** Waits for a file that another process writes. */
export async function appearance(file: string, timeoutMs = 10_000): Promise<void> {
	const deadline = Date.now() + timeoutMs;
	while (!existsSync(file)) {
		if (Date.now() > deadline) throw new Error(`${file} did not appear within ${timeoutMs} ms`);
		await setTimeout(20);
	}
}

/** The environment without what steers the set-up, so that a developer's own settings do not reach a test. */
export function plainEnvironment(changes: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
	const env = { ...process.env };
	const ours = ['LIBTORCH', 'EHR_JEPA_CACHE', 'EHR_JEPA_CUDA', 'EHR_JEPA_LIBTORCH_SHA256'];
	for (const name of [...ours, 'CXX', 'CUDACXX', 'CUDA_HOME', 'CUDA_PATH']) delete env[name];
	return { ...env, ...changes };
}
