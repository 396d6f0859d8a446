/** The thread of prefetch.ts: draws batches ahead of the steps that use them, as many as it is asked for. */
import { openTokenStore } from '../store/token-store.js';
import { serveTasks } from '../threads/serve-tasks.js';
import type { TrainingBatch } from '../types.js';
import { noBranches } from './branches.js';
import type { NextBatch, PrefetchRequest } from './prefetch.js';
import { Sampler } from './sampler.js';

serveTasks<PrefetchRequest, NextBatch, TrainingBatch>(async ({ directory, split, options, first, last }) => {
	const store = await openTokenStore(directory);
	try {
		const batches = new Sampler(store, split, options).batches(first, last);
		return {
			answer: async () => (await batches.next()).value as TrainingBatch,
			buffersOf,
			close: () => store.close(),
		};
	} catch (error) {
		await store.close();
		throw error;
	}
});

/** The buffers of a batch, to be moved rather than copied. */
function buffersOf({ branches, ...batch }: TrainingBatch): ArrayBuffer[] {
	// The empty branches are shared by all batches that have none: moving them would take them from the next.
	const arrays = [batch, branches === noBranches ? {} : branches].flatMap((part) => Object.values(part));
	return arrays.filter((value) => ArrayBuffer.isView(value)).map(({ buffer }) => buffer as ArrayBuffer);
}
