/** The thread of prefetch.ts: draws batches ahead of the steps that use them, as many as are wanted. */
import { parentPort, workerData } from 'node:worker_threads';
import { describeError } from '../errors.js';
import { openTokenStore } from '../store/token-store.js';
import type { TrainingBatch } from '../types.js';
import { noBranches } from './branches.js';
import type { PrefetchMessage, PrefetchRequest, PrefetchWish } from './prefetch-messages.js';
import { Sampler } from './sampler.js';

if (parentPort !== null) {
	const port = parentPort;
	const post = (message: PrefetchMessage, buffers: ArrayBuffer[] = []) => port.postMessage(message, buffers);
	const { directory, split, options, first, last, ahead } = workerData as PrefetchRequest;
	let wanted = ahead;
	let wake = () => {};
	port.on('message', (more: PrefetchWish) => {
		wanted += more;
		wake();
	});
	try {
		const store = await openTokenStore(directory);
		try {
			for await (const batch of new Sampler(store, split, options).batches(first, last)) {
				while (wanted === 0) {
					await new Promise<void>((resolve) => {
						wake = resolve;
					});
				}
				wanted--;
				post({ kind: 'batch', batch }, buffersOf(batch));
			}
		} finally {
			await store.close();
		}
	} catch (error) {
		post({ kind: 'failed', error: describeError(error) });
	} finally {
		port.close();
	}
}

/** The buffers of a batch, to be moved rather than copied. */
function buffersOf({ branches, ...batch }: TrainingBatch): ArrayBuffer[] {
	// The empty branches are shared by all batches that have none: moving them would take them from the next.
	const arrays = [batch, branches === noBranches ? {} : branches].flatMap((part) => Object.values(part));
	return arrays.filter((value) => ArrayBuffer.isView(value)).map(({ buffer }) => buffer as ArrayBuffer);
}
