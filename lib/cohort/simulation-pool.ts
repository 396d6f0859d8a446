import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { AbortedError } from '../errors.js';
import type { ChunkRequest, SimulatedChunk } from './simulated-chunk.js';

// Patients whose events are held in memory before they are handed on.
const patientsPerChunk = 64;

/**
 * The patients of a cohort in order, simulated by threads. A patient is a function of (seed, index) alone and chunks are
 * yielded in order, so the number of threads changes nothing.
 */
export async function* simulateChunks(
	{
		seed,
		patients,
		minYears,
		maxYears,
	}: {
		readonly seed: number;
		readonly patients: number;
		readonly minYears: number;
		readonly maxYears: number;
	},
	signal?: AbortSignal,
): AsyncGenerator<SimulatedChunk> {
	const chunks = Math.ceil(patients / patientsPerChunk);
	const workers = Array.from(
		{ length: Math.min(availableParallelism(), chunks) },
		() => new Worker(new URL('./simulation-worker.js', import.meta.url)),
	);
	const request = (chunk: number): Promise<SimulatedChunk> => {
		const worker = workers[chunk % workers.length]!;
		const first = chunk * patientsPerChunk;
		const wanted: ChunkRequest = {
			seed,
			first,
			patients: Math.min(patientsPerChunk, patients - first),
			years: [minYears, maxYears],
		};
		worker.postMessage(wanted);
		const answer = once(worker, 'message', { signal }).then(([chunk]) => chunk as SimulatedChunk);
		// The first failure ends the loop; those that wait behind it are not unhandled.
		answer.catch(() => undefined);
		return answer;
	};
	try {
		signal?.throwIfAborted();
		// One request per worker at a time: a worker's next message answers the request that is open.
		const open = workers.map((_, chunk) => request(chunk));
		for (let chunk = 0; chunk < chunks; chunk++) {
			const result = await open.shift()!;
			if (chunk + workers.length < chunks) open.push(request(chunk + workers.length));
			yield result;
		}
	} catch (cause) {
		if (signal?.aborted) throw new AbortedError('[simulate] aborted', { cause: signal.reason });
		throw cause;
	} finally {
		await Promise.all(workers.map((worker) => worker.terminate()));
	}
}
