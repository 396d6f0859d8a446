import type { NativePredictorOptions } from '../native.js';
import type { WorldModelOptions } from './world-model.js';

/** The predictor of a model; absent: an MLP of twice the hidden size. */
export function predictorOf({
	predictor,
	shape,
}: Pick<WorldModelOptions, 'predictor' | 'shape'>): NativePredictorOptions {
	return predictor ?? { kind: 'mlp', width: 2 * shape.hiddenSize, layers: 0, heads: 0, fromState: false };
}
