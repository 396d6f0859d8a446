import { z } from 'zod';
import { nonNegativeInteger } from '../config.js';
import type { NativePredictorOptions } from '../native.js';
import type { Qwen3Shape } from './qwen3-config.js';

/** Predictor g as the core has it: a field that its kind does not read is 0. */
export const PredictorOptions: z.ZodType<NativePredictorOptions, NativePredictorOptions> = z.strictObject({
	kind: z.enum(['identity', 'mlp', 'transformer']),
	width: nonNegativeInteger,
	layers: nonNegativeInteger,
	heads: nonNegativeInteger,
	fromState: z.boolean(),
});

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
