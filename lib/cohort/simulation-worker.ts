/** A thread of simulate-shards.ts: simulates the shards it is given and writes their files. */
import { serveTasks } from '../threads/serve-tasks.js';
import { type CohortRequest, type Shard, ShardSimulation, type ShardSummary } from './shard.js';

serveTasks<CohortRequest, Shard, ShardSummary>(async (request, stopped) => {
	const simulation = await ShardSimulation.create(request);
	return {
		answer: (shard, onPatients) => simulation.run(shard, stopped, onPatients),
		close: () => simulation.close(),
	};
});
