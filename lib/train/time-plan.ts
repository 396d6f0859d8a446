import { batchRows } from './batch-rows.js';
import { predictorOptions } from './loss-options.js';
import type { TrainConfig } from './train-config.js';

/** Multiplications and additions of one update, counting what is computed again. */
export function flopsPerStep(config: TrainConfig, vocabSize: number): number {
	const { model, objective, trainable, activationCheckpointing } = config;
	const { hiddenSize, intermediateSize, numHiddenLayers, numAttentionHeads, numKeyValueHeads, headDim } = model;
	const queries = numAttentionHeads * headDim;
	const attentionMaps = hiddenSize * (2 * queries + 2 * numKeyValueHeads * headDim);
	const mlpMaps = 3 * hiddenSize * intermediateSize;
	const { trunk, branch, scored, predicted, window } = batchRows(config);
	const future = (window * config.futureTokens) / (config.contextTokens + config.futureTokens);
	// A branch row sees the context and, on average, half of its own branch.
	const attention = 4 * queries * ((trunk * window) / 2 + branch * (window - future / 2)) * numHiddenLayers;
	const maps = (rows: number, size: number) => 2 * size * rows * numHiddenLayers;
	const rows = trunk + branch;
	const forward = maps(rows, attentionMaps + mlpMaps) + attention;
	// Frozen weights need no gradient: half of the backward pass.
	const backward = (trainable.kind === 'lora' ? 1 : 2) * maps(rows, attentionMaps + mlpMaps) + 2.5 * attention;
	const again = { none: 0, block: forward, selective: maps(rows, mlpMaps) }[activationCheckpointing];
	const head = scored * 2 * hiddenSize * vocabSize * (trainable.kind === 'lora' ? 2 : 3);
	const target =
		objective.latent?.target.kind === 'ema' || objective.latent?.target.kind === 'frozen'
			? maps(trunk, attentionMaps + mlpMaps) + 2 * queries * trunk * window * numHiddenLayers
			: 0;
	const { width } = predictorOptions(config);
	const predictor = 3 * 2 * predicted * 2 * width * hiddenSize;
	return config.microBatches * (forward + backward + again + head + target + predictor);
}
