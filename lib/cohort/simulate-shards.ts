import { ThreadPool } from '../threads/thread-pool.js';
import { type CohortRequest, type Shard, type ShardSummary, shardsOf } from './shard.js';

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
	const shards = shardsOf(request.patients);
	const script = new URL('./simulation-worker.js', import.meta.url);
	const options = { scope: 'simulate', script, data: request, signal };
	const pool = new ThreadPool<Shard, ShardSummary>(Math.min(threads, shards.length), options);
	try {
		return await pool.each(shards, onPatients);
	} finally {
		await pool.close();
	}
}
