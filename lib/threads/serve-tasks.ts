import { parentPort, workerData } from 'node:worker_threads';
import { describeError } from '../errors.js';
import type { Reply, Request } from './messages.js';

/** What a thread does with its tasks. */
export interface TaskService<Task, Answer> {
	/** @param onProgress - Told how much more is done, in the unit of the one who asks. */
	answer(task: Task, onProgress: (amount: number) => void): Promise<Answer>;
	/** Buffers of an answer that are moved rather than copied. */
	buffersOf?(answer: Answer): ArrayBuffer[];
	/** Called once, after the last task. */
	close?(): Promise<void>;
}

/**
 * The thread's side of {@link Thread}: does one task after the other until it is stopped.
 *
 * The thread ends by itself and is never terminated: that would end the whole process while DuckDB works in it.
 *
 * @param start - Given what the thread was started with, and a signal that fires when it is stopped. An error in it is
 *   the answer to every task.
 */
export function serveTasks<Data, Task, Answer>(
	start: (data: Data, stopped: AbortSignal) => Promise<TaskService<Task, Answer>>,
): void {
	if (parentPort === null) return;
	const port = parentPort;
	const post = (reply: Reply<Answer>, buffers: ArrayBuffer[] = []) => port.postMessage(reply, buffers);
	const stop = new AbortController();
	const service = start(workerData as Data, stop.signal);
	service.catch(() => {}); // each task reports it
	const onProgress = (amount: number) => post({ kind: 'progress', amount });
	const perform = async (task: Task) => {
		if (stop.signal.aborted) return;
		try {
			const working = await service;
			const answer = await working.answer(task, onProgress);
			post({ kind: 'done', answer }, working.buffersOf?.(answer));
		} catch (error) {
			post({ kind: 'failed', error: describeError(error) });
		}
	};
	let running = Promise.resolve();
	port.on('message', (request: Request<Task>) => {
		if (request.kind === 'task') {
			running = running.then(() => perform(request.task));
			return;
		}
		stop.abort();
		const close = async () => (await service.catch(() => undefined))?.close?.();
		void running.then(close).finally(() => port.close());
	});
}
