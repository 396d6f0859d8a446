import { Worker } from 'node:worker_threads';
import { AbortedError, restoreError } from '../errors.js';
import type { Split, TrainingBatch } from '../types.js';
import type { PrefetchMessage, PrefetchRequest } from './prefetch-messages.js';
import type { SamplerOptions } from './sampler.js';

// Enough to ride out a slow read; a batch of 3,300 tokens is about 60 kB.
const batchesAhead = 16;

/**
 * Batches of a sampler's steps `first` to `last`, drawn by a thread that opens the store for itself and works ahead, so that
 * a step does not wait for its batch. They are those that `Sampler.batches` gives. Leaving the loop ends the thread.
 *
 * @param store - Anything with the folder of a token store.
 * @throws {AbortedError} While waiting; and what the sampler throws.
 */
export async function* prefetchBatches(
	{ directory }: { readonly directory: string },
	split: Split,
	options: SamplerOptions,
	first: number,
	last: number,
	signal?: AbortSignal,
): AsyncGenerator<TrainingBatch> {
	if (first > last) return;
	const request: PrefetchRequest = { directory, split, options, first, last, ahead: batchesAhead };
	const worker = new Worker(new URL('./prefetch-worker.js', import.meta.url), { workerData: request });
	const ready: TrainingBatch[] = [];
	let failure: Error | undefined;
	let wake = () => {};
	const fail = (error: Error) => {
		failure ??= error;
		wake();
	};
	const abort = () => fail(new AbortedError('[sampler] aborted', { cause: signal?.reason }));
	worker.on('message', (message: PrefetchMessage) => {
		if (message.kind === 'failed') return fail(restoreError(message.error));
		ready.push(message.batch);
		wake();
	});
	worker.on('error', fail);
	worker.on('exit', () => fail(new Error('[sampler] the thread that draws batches ended early')));
	signal?.addEventListener('abort', abort);
	if (signal?.aborted) abort();
	try {
		for (let step = first; step <= last; step++) {
			// Batches that were drawn before a failure are good.
			while (ready.length === 0) {
				if (failure !== undefined) throw failure;
				await new Promise<void>((resolve) => {
					wake = resolve;
				});
			}
			worker.postMessage(1);
			yield ready.shift()!;
		}
	} finally {
		signal?.removeEventListener('abort', abort);
		await worker.terminate();
	}
}
