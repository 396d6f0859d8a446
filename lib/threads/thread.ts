import { type ResourceLimits, Worker } from 'node:worker_threads';
import { AbortedError, restoreError } from '../errors.js';
import type { Reply, Request } from './messages.js';

export interface ThreadOptions {
	/** Names the caller in messages. */
	readonly scope: string;
	/** Script that calls `serveTasks`. */
	readonly script: URL;
	/** What it is started with. */
	readonly data: unknown;
	readonly signal?: AbortSignal | undefined;
	readonly resourceLimits?: ResourceLimits;
}

interface Pending<Answer> {
	readonly resolve: (answer: Answer) => void;
	readonly reject: (error: Error) => void;
	readonly onProgress: ((amount: number) => void) | undefined;
}

/** A thread that answers tasks one after the other. Close it when the last answer is there, or earlier. */
export class Thread<Task, Answer> {
	readonly #worker: Worker;
	readonly #pending: Pending<Answer>[] = [];
	readonly #stopListening: () => void;
	/** Why it answers no more. */
	#ended: Error | undefined;

	constructor({ scope, script, data, signal, resourceLimits }: ThreadOptions) {
		this.#worker = new Worker(script, { workerData: data, ...(resourceLimits ? { resourceLimits } : {}) });
		this.#worker.on('message', (reply: Reply<Answer>) => this.#take(reply));
		this.#worker.on('error', (error) => this.#end(error));
		this.#worker.on('exit', () => this.#end(new Error(`[${scope}] a thread ended before its work was done`)));
		const abort = () => this.#end(new AbortedError(`[${scope}] aborted`, { cause: signal?.reason }));
		signal?.addEventListener('abort', abort);
		this.#stopListening = () => signal?.removeEventListener('abort', abort);
		if (signal?.aborted) abort();
	}

	/**
	 * Tasks may be given before the ones ahead of them are answered.
	 *
	 * @throws {AbortedError} At once, though the thread may still be at work; and what the task throws.
	 */
	ask(task: Task, onProgress?: (amount: number) => void): Promise<Answer> {
		if (this.#ended !== undefined) return Promise.reject(this.#ended);
		return new Promise((resolve, reject) => {
			this.#pending.push({ resolve, reject, onProgress });
			this.#post({ kind: 'task', task });
		});
	}

	/** Ends the thread, in the middle of a task if there is one, and waits until it is gone. */
	async close(): Promise<void> {
		this.#stopListening();
		if (this.#worker.threadId === -1) return;
		const exit = new Promise((resolve) => this.#worker.once('exit', resolve));
		this.#post({ kind: 'stop' });
		await exit;
	}

	#post(request: Request<Task>): void {
		this.#worker.postMessage(request);
	}

	#take(reply: Reply<Answer>): void {
		if (reply.kind === 'progress') {
			this.#pending[0]?.onProgress?.(reply.amount);
			return;
		}
		const asked = this.#pending.shift();
		if (reply.kind === 'failed') asked?.reject(restoreError(reply.error));
		else asked?.resolve(reply.answer);
	}

	#end(error: Error): void {
		this.#ended ??= error;
		for (const { reject } of this.#pending.splice(0)) reject(this.#ended);
	}
}
