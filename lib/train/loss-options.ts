import type { NativeLossOptions, NativePredictorOptions } from '../native.js';
import { type StepWeights, weightsAt } from '../objective/objective.js';
import type { SamplerOptions } from '../sample/sampler.js';
import type { TrainConfig } from './train-config.js';

/** What the native core is to compute at a step; `readings` are what costs extra. */
export function lossOptionsAt(
	config: TrainConfig,
	step: number,
	readings: { readonly collapse: boolean; readonly interference: boolean },
): NativeLossOptions & { readonly weights: StepWeights } {
	const { nextToken, latent } = config.objective;
	const weights = weightsAt(config.objective, step, config.steps);
	const target = latent?.target;
	return {
		weights,
		nextTokenWeight: weights.nextToken,
		latentWeight: weights.latent,
		nextTokenOn: nextToken?.on ?? 'future',
		withCollapseMonitors: readings.collapse && weights.latent > 0,
		withInterference: readings.interference && weights.latent > 0 && weights.nextToken > 0,
		latent: {
			loss: latent?.loss.kind ?? 'mse',
			beta: latent?.loss.kind === 'smooth-l1' ? latent.loss.beta : 1,
			// A frozen target is an EMA that never moves: its momentum is 1.
			target: target?.kind === 'online' || target?.kind === 'views' ? target.kind : 'ema',
			targetLayers: target?.kind === 'ema' || target?.kind === 'frozen' ? target.layers : 1,
			varianceWeight: latent?.antiCollapse.variance ?? 0,
			covarianceWeight: latent?.antiCollapse.covariance ?? 0,
			sigregWeight: latent?.antiCollapse.sigreg ?? 0,
		},
		seed: config.seed,
		step,
	};
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

/**
 * Whether the target encoder starts anew from the encoder before a step: at the first latent step of a curriculum, whose
 * first stage it has not followed.
 */
export function targetRestartsAt(config: TrainConfig, step: number): boolean {
	const { latent, schedule } = config.objective;
	if (latent?.target.kind !== 'ema' || schedule.kind === 'simultaneous' || step === 1) return false;
	const before = weightsAt(config.objective, step - 1, config.steps);
	return before.latent === 0 && weightsAt(config.objective, step, config.steps).latent > 0;
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
