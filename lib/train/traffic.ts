import { predictorOptions } from './loss-options.js';
import { bytesOf, counts, predictorCount } from './memory-plan.js';
import type { TrainConfig } from './train-config.js';

/** Bytes that a rank sends in an update, by what they are; it gets as many. */
export interface Traffic {
	readonly gradients: number;
	/** What each rank has updated, to all others; or, of what ranks share out, what its passes gather. */
	readonly parameters: number;
	/** The EMA in the compute dtype, for its pass. */
	readonly target: number;
}

/**
 * Traffic of an update: of W ranks each sends (W - 1) / W of all gradients, in float32 or as `parallel.collectives` says, to be
 * added up, and as much again for all to have them (`ddp`), or of the parameters and of the EMA (`zero1`, `zero2`). With `zero3` the
 * encoder's trained weights travel in the compute dtype for every micro-batch and shard of a rank: all for the forward pass, all
 * blocks but the last again for the backward pass, and the EMA's. Counts, losses and norms are left out: some kilobytes; so is what
 * the readings of interference add. It is a mean over ranks: each sends what it owns. A rank whose shards make several subtrees of
 * the sum sends its gradients once for each.
 *
 * @param vocabSize - Rows of the embedding.
 */
export function planTraffic(config: TrainConfig, vocabSize: number, ranks: number): Traffic {
	const { model, trainable, objective, parallel, parameterDtype, computeDtype, microBatches } = config;
	const { trained, blocks } = counts(config, vocabSize);
	const lora = trainable.kind === 'lora';
	const predictor = predictorCount(predictorOptions(config), model.hiddenSize);
	const all = trained + predictor;
	const others = (ranks - 1) / ranks;
	const sum = bytesOf[parallel.collectives] * all * others;
	if (parallel.kind === 'ddp' || ranks === 1) return { gradients: 2 * sum, parameters: 0, target: 0 };
	const own = bytesOf[lora ? 'float32' : parameterDtype];
	const target = objective.latent?.target.kind === 'ema' ? trained * bytesOf[computeDtype] * others : 0;
	if (parallel.kind !== 'zero3') return { gradients: sum, parameters: all * own * others, target };
	const passes = Math.ceil((parallel.virtualShards ?? ranks) / ranks) * microBatches;
	const again = blocks.slice(0, -1).reduce((total, count) => total + count, 0);
	return {
		gradients: sum,
		parameters: (predictor * own + passes * (trained + again) * bytesOf[computeDtype]) * others,
		target: passes * target,
	};
}
