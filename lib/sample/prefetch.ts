import { Thread } from '../threads/thread.js';
import type { Split, TrainingBatch } from '../types.js';
import type { SamplerOptions } from './sampler.js';

// Enough to ride out a slow read; a batch of 3,300 tokens is about 60 kB.
const batchesAhead = 16;

/** What a sampler's thread is started with. */
export interface PrefetchRequest {
	/** Folder of the token store. */
	readonly directory: string;
	readonly split: Split;
	readonly options: SamplerOptions;
	/** Steps of the sampler. */
	readonly first: number;
	readonly last: number;
}

/** What the thread is asked for: the batch after the last one. */
export type NextBatch = 'next';

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
	const data: PrefetchRequest = { directory, split, options, first, last };
	const script = new URL('./prefetch-worker.js', import.meta.url);
	const thread = new Thread<NextBatch, TrainingBatch>({ scope: 'sampler', script, data, signal });
	const drawn: Promise<TrainingBatch>[] = [];
	let asked = first;
	const askAhead = () => {
		for (; drawn.length < batchesAhead && asked <= last; asked++) {
			const batch = thread.ask('next');
			batch.catch(() => {}); // reported where it is awaited
			drawn.push(batch);
		}
	};
	try {
		askAhead();
		for (let batch = drawn.shift(); batch !== undefined; batch = drawn.shift()) {
			askAhead();
			yield await batch;
		}
	} finally {
		await thread.close();
	}
}
