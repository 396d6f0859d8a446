import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/**
 * Runs a stage in a process of its own, so that its peak of memory is its own.
 *
 * @param script - Reads what is asked from EHR_JEPA_BENCH_STAGE and sends what it measured.
 */
export async function inOwnProcess<T>(script: URL, name: string, asked: object): Promise<T> {
	const child = fork(fileURLToPath(script), [], {
		env: { ...process.env, EHR_JEPA_BENCH_STAGE: JSON.stringify(asked) },
	});
	let result: T | undefined;
	child.on('message', (message) => {
		result = message as T;
	});
	const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
	if (code !== 0 || result === undefined) throw new Error(`[bench] "${name}" must end well but exited with ${code}`);
	return result;
}
