import { Worker } from 'node:worker_threads';
import { AbortedError, restoreError } from '../errors.js';
import type { PrepareAnswer, PrepareTask, PrepareThreadData } from './prepare-tasks.js';

// A reader makes and forgets objects by the million: with V8's default of 16 MiB a sixth of its time was garbage collection.
const resourceLimits = { maxYoungGenerationSizeMb: 64 };

/** Threads of `prepare`. Which thread does which task changes nothing in what is written. */
export class PartPool {
	readonly #workers: readonly Worker[];
	readonly #signal: AbortSignal | undefined;

	constructor(threads: number, data: PrepareThreadData, signal: AbortSignal | undefined) {
		this.#signal = signal;
		this.#workers = Array.from(
			{ length: threads },
			() => new Worker(new URL('./prepare-worker.js', import.meta.url), { workerData: data, resourceLimits }),
		);
	}

	/** Has every thread do the same. */
	async all(task: PrepareTask): Promise<PrepareAnswer[]> {
		return Promise.all(this.#workers.map((worker) => this.#ask(worker, task)));
	}

	/** Does the tasks in order, each by the next thread that is free. @param onEvents - Told how many more events were read. */
	async each(tasks: readonly PrepareTask[], onEvents: (events: number) => void): Promise<void> {
		let next = 0;
		await Promise.all(
			this.#workers.map(async (worker) => {
				while (next < tasks.length) await this.#ask(worker, tasks[next++]!, onEvents);
			}),
		);
	}

	/** Ends the threads, also those that are in the midst of a task. */
	async close(): Promise<void> {
		const exits = this.#workers.map((worker) =>
			worker.threadId === -1 ? undefined : new Promise((resolve) => worker.once('exit', resolve)),
		);
		const stop: PrepareTask = { kind: 'stop' };
		for (const worker of this.#workers) worker.postMessage(stop);
		await Promise.all(exits);
	}

	#ask(worker: Worker, task: PrepareTask, onEvents?: (events: number) => void): Promise<PrepareAnswer> {
		const signal = this.#signal;
		return new Promise((resolve, reject) => {
			const settle = (finish: () => void) => {
				worker.off('message', onMessage);
				worker.off('error', onError);
				worker.off('exit', onExit);
				signal?.removeEventListener('abort', onAbort);
				finish();
			};
			const onAbort = () => settle(() => reject(new AbortedError('[prepare] aborted', { cause: signal?.reason })));
			const onError = (error: Error) => settle(() => reject(error));
			const onExit = () => settle(() => reject(new Error('[prepare] a thread ended before its work was done')));
			const onMessage = (answer: PrepareAnswer) => {
				if (answer.kind === 'progress') onEvents?.(answer.events);
				else if (answer.kind === 'failed') settle(() => reject(restoreError(answer.error)));
				else settle(() => resolve(answer));
			};
			if (signal?.aborted) return onAbort();
			worker.on('message', onMessage);
			worker.on('error', onError);
			worker.on('exit', onExit);
			signal?.addEventListener('abort', onAbort);
			worker.postMessage(task);
		});
	}
}
