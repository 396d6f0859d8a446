import { modelSizes } from '../model/qwen3-config.js';
import type { TrainConfigInput } from './train-config.js';

/** Whole configurations with a name, for machines that everybody has. */
export const trainPresets = {
	/** All of Qwen3-1.7B's parameters trained on both losses in the memory of one 24 GiB machine: docs/training.md. */
	'qwen3-1.7b-24gib': {
		model: modelSizes['qwen3-1.7b'],
		contextTokens: 640,
		futureTokens: 320,
		tokensPerStep: 1024,
		optimizer: { learningRate: 1e-4, clipBy: 'parameter', updateInBackward: true },
		computeDtype: 'bfloat16',
		parameterDtype: 'bfloat16',
		activationCheckpointing: 'block',
		checkpointCopy: false,
		keepCheckpoints: 1,
		tuningBatches: 2,
	},
} as const satisfies Record<string, TrainConfigInput>;
export type TrainPreset = keyof typeof trainPresets;

/** A preset's options; a folder that training starts from says the shape itself. */
export function presetConfig(name: TrainPreset, { withModel }: { readonly withModel: boolean }): TrainConfigInput {
	const { model, ...rest } = trainPresets[name];
	return structuredClone(withModel ? { model, ...rest } : rest);
}
