import { type ObjectivePreset, objectivePresets } from '../../lib/objective/objective.js';
import type { TrainConfigInput } from '../../lib/train/train-config.js';

/** A small run whose every number is known. */
export interface TrainingCase {
	readonly name: string;
	readonly config: TrainConfigInput;
}

const shared: TrainConfigInput = {
	model: {
		hiddenSize: 32,
		intermediateSize: 64,
		numHiddenLayers: 2,
		numAttentionHeads: 2,
		numKeyValueHeads: 1,
		headDim: 16,
	},
	contextTokens: 48,
	futureTokens: 24,
	tokensPerStep: 512,
	steps: 4,
	// One thread: how a product is cut among threads may change its last bits.
	threads: 1,
	checkpointEvery: 4,
	tuningEvery: 4,
	tuningBatches: 2,
	collapseEvery: 2,
	// The record is of this one, whatever the machine prefers.
	computeDtype: 'float32',
};

/** Recorded when the loss was on the future alone unless asked for otherwise. */
const onFuture = { nextToken: { on: 'future' } } as const;

const trainables = { full: { kind: 'full' }, lora: { kind: 'lora', rank: 4 } } as const;

function presetCases(): TrainingCase[] {
	const cases: TrainingCase[] = [];
	for (const preset of Object.keys(objectivePresets) as ObjectivePreset[]) {
		for (const [kind, trainable] of Object.entries(trainables)) {
			for (const computeDtype of ['float32', 'bfloat16'] as const) {
				cases.push({
					name: `${preset}, ${kind}, ${computeDtype}`,
					config: {
						...shared,
						objective: { ...objectivePresets[preset], ...(preset === 'jepa' ? {} : onFuture) },
						trainable,
						computeDtype,
					},
				});
			}
		}
	}
	return cases;
}

/** What the presets leave alone. */
const optionCases: TrainingCase[] = [
	{
		name: 'all anti-collapse terms, online target, smooth L1, interference',
		config: {
			...shared,
			objective: {
				...onFuture,
				latent: {
					loss: { kind: 'smooth-l1', beta: 0.5 },
					target: { kind: 'online' },
					antiCollapse: { variance: 0.5, covariance: 0.1, sigreg: 0.05 },
					interferenceEvery: 2,
				},
			},
		},
	},
	{
		name: 'two cuts, transformer predictor, mean over two target layers, L1',
		config: {
			...shared,
			objective: {
				...onFuture,
				latent: {
					cuts: 2,
					loss: { kind: 'l1' },
					predictor: { kind: 'transformer', layers: 2 },
					target: { kind: 'ema', layers: 2 },
				},
			},
		},
	},
	{
		name: 'drawn positions, identity predictor, cosine, frozen target',
		config: {
			...shared,
			objective: {
				...onFuture,
				latent: {
					branch: { kind: 'query', at: 'positions' },
					loss: { kind: 'cosine' },
					predictor: { kind: 'identity' },
					target: { kind: 'frozen' },
				},
			},
		},
	},
	{
		name: 'micro-batches, frozen embedding, loss on all tokens',
		config: {
			...shared,
			microBatches: 2,
			objective: { nextToken: { on: 'all' } },
			trainable: { kind: 'full', freeze: ['model.embed_tokens.*'] },
		},
	},
];

export const trainingCases: readonly TrainingCase[] = [...presetCases(), ...optionCases];
