import { predictorOptions } from './loss-options.js';
import { bytesOf, counts, predictorCount } from './memory-plan.js';
import type { TrainConfig } from './train-config.js';

/** Bytes that a rank sends in an update, by what they are; it gets as many. */
export interface Traffic {
	readonly gradients: number;
	/** What each rank has updated, to all others. */
	readonly parameters: number;
	/** The EMA in the compute dtype, for its pass. */
	readonly target: number;
}

/**
 * Traffic of an update: of W ranks each sends (W - 1) / W of all gradients, in float32, to be added up, and as much again for all to
 * have them (`ddp`), or of the parameters and of the EMA (`zero1`, `zero2`). Counts, losses and norms are left out: some kilobytes.
 * A rank whose shards make several subtrees of the sum sends its gradients once for each.
 *
 * @param vocabSize - Rows of the embedding.
 */
export function planTraffic(config: TrainConfig, vocabSize: number, ranks: number): Traffic {
	const { model, trainable, objective, parallel, parameterDtype, computeDtype } = config;
	const { encoder, trained } = counts(config, vocabSize);
	const lora = trainable.kind === 'lora';
	const all = trained + predictorCount(predictorOptions(config), model.hiddenSize);
	const others = (ranks - 1) / ranks;
	const sum = 4 * all * others;
	if (parallel.kind === 'ddp' || ranks === 1) return { gradients: 2 * sum, parameters: 0, target: 0 };
	return {
		gradients: sum,
		parameters: all * bytesOf[lora ? 'float32' : parameterDtype] * others,
		target: objective.latent?.target.kind === 'ema' ? (lora ? trained : encoder) * bytesOf[computeDtype] * others : 0,
	};
}
