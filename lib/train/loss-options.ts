import type { LossOptions, StepOptions } from '../model/step-options.js';
import type { NativePredictorOptions } from '../native.js';
import type { SamplerOptions } from '../sample/sampler.js';
import type { TrainConfig } from './train-config.js';

/** The options of a run's losses at a step. */
export function lossOptionsAt(
	{ objective, steps, seed }: TrainConfig,
	step: number,
	{ collapse }: { readonly collapse: boolean },
): LossOptions {
	return { objective, step, steps, seed, collapseMonitors: collapse };
}

/** How a run's updates are made, but for the learning rate, which a schedule gives. */
export function updateOptions(optimizer: TrainConfig['optimizer']): Omit<StepOptions, 'learningRate'> {
	const { learningRate: _rate, warmupFraction: _warmup, finalFraction: _final, ...update } = optimizer;
	return update;
}

/** The predictor of a run, its defaults worked out for the model's size. */
export function predictorOptions({ objective, model }: TrainConfig): NativePredictorOptions {
	const { hiddenSize } = model;
	const predictor = objective.latent?.predictor ?? { kind: 'mlp' };
	const none = { width: 0, layers: 0, heads: 0, fromState: false };
	if (predictor.kind === 'identity') return { kind: 'identity', ...none };
	if (predictor.kind === 'mlp') return { ...none, kind: 'mlp', width: predictor.width ?? 2 * hiddenSize };
	const width = predictor.width ?? Math.max(64, 32 * Math.round(hiddenSize / 128));
	return {
		kind: 'transformer',
		width,
		layers: predictor.layers,
		heads: predictor.heads ?? Math.max(1, Math.floor(width / 32)),
		fromState: objective.latent?.branch.kind === 'state',
	};
}

/** What a run's sampler draws. */
export function samplerOptions(config: TrainConfig, seed: number): SamplerOptions {
	const { latent } = config.objective;
	return {
		contextTokens: config.contextTokens,
		futureTokens: config.futureTokens,
		tokensPerBatch: config.tokensPerStep,
		seed,
		branches: latent === null ? null : { branch: latent.branch, cuts: latent.cuts },
	};
}
