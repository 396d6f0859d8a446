import { z } from 'zod';
import { float32Number, positiveInteger } from '../config.js';
import type { NativeModelShape } from '../native.js';

/** More than any model has: each layer has names and shapes of its own, and a damaged number must not fill the memory. */
export const mostLayers = 10_000;

/**
 * Shape of a Qwen3 decoder, without the vocabulary size, which comes from the data. Names are those of HuggingFace's
 * `config.json` in camel case. Defaults are the `demo` size: large enough to learn from a few thousand patients, small
 * enough for two CPU cores.
 */
export const Qwen3Shape = z
	.strictObject({
		hiddenSize: positiveInteger.default(128),
		/** Width of SwiGLU: down(silu(gate x) * up x). */
		intermediateSize: positiveInteger.default(384),
		numHiddenLayers: positiveInteger.max(mostLayers).default(4),
		numAttentionHeads: positiveInteger.default(4),
		/** Grouped-query attention: each key/value head serves numAttentionHeads / numKeyValueHeads query heads. */
		numKeyValueHeads: positiveInteger.default(2),
		/** Even; need not be hiddenSize / numAttentionHeads. */
		headDim: positiveInteger.multipleOf(2).default(32),
		rmsNormEps: float32Number.positive().default(1e-6),
		ropeTheta: float32Number.positive().default(1_000_000),
		/** The head shares the embedding matrix. */
		tieWordEmbeddings: z.boolean().default(true),
		/** Standard deviation of the initial matrices. */
		initializerRange: float32Number.positive().default(0.02),
	})
	.refine((shape) => shape.numAttentionHeads % shape.numKeyValueHeads === 0, {
		path: ['numKeyValueHeads'],
		message: 'must divide numAttentionHeads',
	});
export type Qwen3Shape = z.infer<typeof Qwen3Shape>;

/** Sizes with a name. `qwen3-1.7b` is the published shape of Qwen/Qwen3-1.7B. */
export const modelSizes = {
	tiny: {
		hiddenSize: 32,
		intermediateSize: 64,
		numHiddenLayers: 2,
		numAttentionHeads: 2,
		numKeyValueHeads: 1,
		headDim: 16,
	},
	/** Twenty runs of it fit an hour of a CPU: docs/study.md. */
	small: {
		hiddenSize: 96,
		intermediateSize: 256,
		numHiddenLayers: 2,
		numAttentionHeads: 3,
		numKeyValueHeads: 1,
		headDim: 32,
	},
	demo: {},
	'qwen3-1.7b': {
		hiddenSize: 2048,
		intermediateSize: 6144,
		numHiddenLayers: 28,
		numAttentionHeads: 16,
		numKeyValueHeads: 8,
		headDim: 128,
	},
} as const satisfies Record<string, z.input<typeof Qwen3Shape>>;
export type ModelSize = keyof typeof modelSizes;

/** The shape with its vocabulary, as the native core wants it. */
export function nativeShape(shape: Qwen3Shape, vocabSize: number): NativeModelShape {
	return { ...shape, vocabSize };
}
