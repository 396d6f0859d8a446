import { type SampledStore, Sampler } from '../sample/sampler.js';
import { fullFutureShare } from './batch-rows.js';
import { samplerOptions } from './loss-options.js';
import type { TrainConfig } from './train-config.js';

/** Batches that are looked at: those that are packed together. */
const batchesRead = 64;

/**
 * The share of tokens behind their cuts in that of a run's first batches where it is largest. Windows that are cut early in a record
 * have a short context and a whole future, and packing puts short windows together: such a batch may have twice the branch
 * rows of one of full windows.
 *
 * @param config - Its `tokensPerStep` is what this process computes at a time.
 * @throws {DataError}
 */
export async function largestFutureShare(store: SampledStore, config: TrainConfig, ranks = 1): Promise<number> {
	const { latent, nextToken } = config.objective;
	// No number of rows depends on it.
	if (latent === null && nextToken?.on !== 'future') return fullFutureShare(config);
	const sampler = new Sampler(store, 'train', {
		...samplerOptions(config, config.seed),
		branches: null,
		worldSize: ranks,
	});
	let largest = 0;
	for await (const { tokens, contextLengths } of sampler.batches(1, Math.min(batchesRead, config.steps))) {
		const context = contextLengths.reduce((sum, length) => sum + length, 0);
		largest = Math.max(largest, (tokens.length - context) / config.tokensPerStep);
	}
	return largest;
}
