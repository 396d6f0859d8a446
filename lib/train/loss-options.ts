import type { NativeLossOptions } from '../native.js';
import { type StepWeights, weightsAt } from '../objective/objective.js';
import type { SamplerOptions } from '../store/sampler.js';
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
			target: target?.kind === 'online' ? 'online' : 'ema',
			targetLayers: target === undefined || target.kind === 'online' ? 1 : target.layers,
			varianceWeight: latent?.antiCollapse.variance ?? 0,
			covarianceWeight: latent?.antiCollapse.covariance ?? 0,
			sigregWeight: latent?.antiCollapse.sigreg ?? 0,
		},
		seed: config.seed,
		step,
	};
}

/** Hidden width of the predictor of a run: 0 is the identity, undefined the default. */
export function predictorWidth({ objective }: TrainConfig): number | undefined {
	const predictor = objective.latent?.predictor;
	return predictor?.kind === 'identity' ? 0 : predictor?.width;
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
		branches:
			latent === null
				? null
				: {
						kind: latent.branch.kind,
						ratio: latent.branch.kind === 'masked' ? latent.branch.ratio : 1,
						span: latent.branch.kind === 'masked' ? latent.branch.span : 1,
						cuts: latent.cuts,
					},
	};
}
