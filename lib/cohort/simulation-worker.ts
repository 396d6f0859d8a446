/** A thread of simulation-pool.ts: a request in, its patients out. */
import { parentPort } from 'node:worker_threads';
import { buffersOf, type ChunkRequest, simulateChunk } from './simulated-chunk.js';

parentPort?.on('message', (request: ChunkRequest) => {
	const chunk = simulateChunk(request);
	parentPort?.postMessage(chunk, buffersOf(chunk));
});
