import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { AbortedError, restoreError } from '../errors.js';
import { type CohortRequest, type ShardSummary, shardsOf } from './shard.js';
import { shared, type WorkerInput, type WorkerMessage } from './simulation-messages.js';

/**
 * Simulates a cohort by threads that write their shards themselves. A shard is a function of the request and its number, so
 * the number of threads changes nothing.
 *
 * @returns One summary per shard, in order.
 * @throws {OutputError} {AbortedError} After every thread has ended.
 */
export async function simulateShards(
	request: CohortRequest,
	threads: number,
	onPatients: (count: number) => void,
	signal?: AbortSignal,
): Promise<ShardSummary[]> {
	const shards = shardsOf(request.patients).length;
	const control = new Int32Array(new SharedArrayBuffer(4 * shared.length));
	// Threads end by themselves: one that is cut off in the midst of a query could take the process with it.
	const stop = () => Atomics.store(control, shared.stop, 1);
	const summaries: ShardSummary[] = [];
	let failure: Error | undefined;
	const fail = (error: Error) => {
		failure ??= error;
		stop();
	};
	signal?.addEventListener('abort', stop);
	if (signal?.aborted) stop();
	try {
		await Promise.all(
			Array.from({ length: Math.min(threads, shards) }, async () => {
				const workerData: WorkerInput = { request, control };
				const worker = new Worker(new URL('./simulation-worker.js', import.meta.url), { workerData });
				worker.on('message', (message: WorkerMessage) => {
					if (message.kind === 'progress') onPatients(message.patients);
					else if (message.kind === 'shard') summaries.push(message.summary);
					else fail(restoreError(message.error));
				});
				worker.on('error', fail);
				await once(worker, 'exit');
			}),
		);
	} finally {
		signal?.removeEventListener('abort', stop);
	}
	if (signal?.aborted) throw new AbortedError('[simulate] aborted', { cause: signal.reason });
	if (failure !== undefined) throw failure;
	return summaries.sort((a, b) => a.number - b.number);
}
