import type { TrainConfigInput } from '../../lib/index.js';

/** A run that trains and nothing else, one thread a rank: what the benchmarks of ranks measure is the training alone. */
export function bareRun({ layers, hidden }: { readonly layers: number; readonly hidden: number }): TrainConfigInput {
	return {
		model: {
			hiddenSize: hidden,
			intermediateSize: 3 * hidden,
			numHiddenLayers: layers,
			numAttentionHeads: hidden / 64,
			numKeyValueHeads: hidden / 128,
			headDim: 64,
			tieWordEmbeddings: true,
		},
		computeDtype: 'float32',
		threads: 1,
		collapseEvery: 0,
		tuningEvery: 0,
		checkpointEvery: 0,
		checkpointCopy: false,
		instruments: null,
	};
}
