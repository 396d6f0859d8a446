import type { NativePredictorOptions } from '../native.js';
import type { Qwen3Shape } from './qwen3-config.js';

/** The predictor of a model; absent: an MLP of twice the hidden size. */
export function predictorOf({
	predictor,
	shape,
}: {
	readonly predictor?: NativePredictorOptions | undefined;
	readonly shape: Qwen3Shape;
}): NativePredictorOptions {
	return predictor ?? { kind: 'mlp', width: 2 * shape.hiddenSize, layers: 0, heads: 0, fromState: false };
}
