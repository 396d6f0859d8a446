/** A thread of simulation-pool.ts: takes the next shard until none is left, and writes its files. */
import { parentPort, workerData } from 'node:worker_threads';
import { describeError } from '../errors.js';
import { ShardSimulation, shardsOf } from './shard.js';
import { shared, type WorkerInput, type WorkerMessage } from './simulation-messages.js';

async function work({ request, control }: WorkerInput): Promise<void> {
	const post = (message: WorkerMessage) => parentPort?.postMessage(message);
	try {
		const simulation = await ShardSimulation.create(request);
		try {
			const shards = shardsOf(request.patients);
			for (;;) {
				const shard = shards[Atomics.add(control, shared.nextShard, 1)];
				if (shard === undefined) return;
				const summary = await simulation.run(
					shard,
					() => Atomics.load(control, shared.stop) === 1,
					(patients) => post({ kind: 'progress', patients }),
				);
				post({ kind: 'shard', summary });
			}
		} finally {
			await simulation.close();
		}
	} catch (error) {
		post({ kind: 'failed', error: describeError(error) });
	}
}

if (parentPort !== null) await work(workerData as WorkerInput);
