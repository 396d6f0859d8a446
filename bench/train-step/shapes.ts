import { modelSizes, Qwen3Shape } from '../../lib/model/qwen3-config.js';

/** A model and a batch of equal sequences, half context and half future, so that a peer needs no padding. */
export interface BenchShape {
	readonly shape: Qwen3Shape;
	readonly vocabSize: number;
	readonly sequences: number;
	/** Of each sequence. */
	readonly tokens: number;
}

export const benchShapes = {
	/** The demo's model and batch. */
	demo: { shape: Qwen3Shape.parse({}), vocabSize: 520, sequences: 11, tokens: 372 },
	'27m': {
		shape: Qwen3Shape.parse({
			hiddenSize: 512,
			intermediateSize: 1536,
			numHiddenLayers: 8,
			numAttentionHeads: 8,
			numKeyValueHeads: 4,
			headDim: 64,
		}),
		vocabSize: 4096,
		sequences: 2,
		tokens: 1024,
	},
	/** Four layers of the published model with its whole vocabulary: 0.5 G parameters. */
	'qwen3-4-layers': {
		shape: Qwen3Shape.parse({ ...modelSizes['qwen3-1.7b'], numHiddenLayers: 4 }),
		vocabSize: 151_936,
		sequences: 1,
		tokens: 3300,
	},
} as const satisfies Record<string, BenchShape>;
export type BenchShapeName = keyof typeof benchShapes;

/** Multiplications and additions of the linear maps of all layers and of causal attention, forward. */
export function forwardFlops({ shape, sequences, tokens }: BenchShape): number {
	const { hiddenSize, intermediateSize, numHiddenLayers, numAttentionHeads, numKeyValueHeads, headDim } = shape;
	const maps =
		hiddenSize * headDim * (2 * numAttentionHeads + 2 * numKeyValueHeads) + 3 * hiddenSize * intermediateSize;
	const attention = 2 * tokens * numAttentionHeads * headDim;
	return numHiddenLayers * (2 * maps + attention) * sequences * tokens;
}

/** Of an SFT step: three times those of its forward with the head, every row of which carries loss. */
export function stepFlops(bench: BenchShape): number {
	const head = 2 * bench.vocabSize * bench.shape.hiddenSize * bench.sequences * bench.tokens;
	return 3 * (forwardFlops(bench) + head);
}
