import { z } from 'zod';
import { float32Number, fraction, nonNegativeInteger, positiveInteger, seed } from '../config.js';
import type { NativeLossOptions, NativeStepOptions } from '../native.js';
import { Objective, targetRestartsAt, weightsAt } from '../objective/objective.js';
import { ComputeDtype } from './compute-dtype.js';

const shared = {
	/** What `TrainConfig.objective` takes, a preset among them (`objectivePresets.fast`); `{}` is both losses on masked branches. */
	objective: Objective.prefault({}),
	/** Number of the update, from 1: dropout masks, SIGReg's directions and schedules follow from it. */
	step: positiveInteger.default(1),
	/**
	 * Updates over which the schedules run; needed by an objective that changes on the way (curriculum, warm-up, final
	 * momentum). A step beyond them has what the last one has: a run may be extended.
	 */
	steps: positiveInteger.optional(),
	/** Draws of the step come from it and from `step`. */
	seed: seed.default(1),
	/** Read the collapse monitors as well, which takes some time. */
	collapseMonitors: z.boolean().default(false),
};

/** Whether an objective is the same at every step. */
function isConstant({ latent, schedule }: Objective): boolean {
	if (schedule.kind === 'curriculum') return false;
	if (latent === null) return true;
	return latent.weightWarmup === 0 && !(latent.target.kind === 'ema' && latent.target.finalMomentum !== undefined);
}
type Timed = { readonly objective: Objective; readonly step: number; readonly steps?: number | undefined };
const isTimed = ({ objective, steps }: Timed) => steps !== undefined || isConstant(objective);
const needsSteps = {
	path: ['steps'],
	message: 'must be the number of updates of the run, of which this objective’s schedule is a share',
};

/** What the losses of a batch are computed with; everything has a default. */
export const LossOptions = z.strictObject(shared).refine(isTimed, needsSteps);
export type LossOptions = z.input<typeof LossOptions>;

/** AdamW with two decay groups: matrices decay, norms and biases do not. */
export const adamW = {
	beta1: fraction.default(0.9),
	beta2: fraction.default(0.95),
	epsilon: float32Number.positive().default(1e-8),
	weightDecay: float32Number.nonnegative().default(0.01),
	/**
	 * How matrices other than embedding and head are updated; all else is by AdamW. `muon` (Jordan et al. 2024) makes the
	 * update orthogonal, scaled to the size of AdamW's (Liu et al. 2025), so that one learning rate serves both. It needs
	 * float32 parameters.
	 */
	matrixUpdate: z.enum(['adamw', 'muon']).default('adamw'),
	/** Of Muon's one moment. */
	muonMomentum: fraction.default(0.95),
	/** Largest gradient norm; 0 does not clip. */
	gradientClip: float32Number.nonnegative().default(1),
	/** Whose norm that is: of all gradients together, or of each parameter's alone. */
	clipBy: z.enum(['global', 'parameter']).default('global'),
	/**
	 * Updates each parameter as soon as the backward pass has its gradient, which is then freed: the gradients never exist
	 * together. Not with clipping by the global norm, which is known only when all of them are.
	 */
	updateInBackward: z.boolean().default(false),
};

type Clipping = {
	readonly gradientClip: number;
	readonly clipBy: 'global' | 'parameter';
	readonly updateInBackward: boolean;
};
/** Whether the norm that gradients are clipped by is known when they are applied. */
export const clipsInTime = ({ gradientClip, clipBy, updateInBackward }: Clipping) =>
	!updateInBackward || gradientClip === 0 || clipBy === 'parameter';
export const needsTime = {
	path: ['updateInBackward'],
	message:
		'must go with "clipBy": "parameter" or "gradientClip": 0, since the global norm is known only when all gradients are',
};

/** What an update is made with: the options of its losses and of AdamW. The learning rate alone has no default. */
export const StepOptions = z
	.strictObject({
		learningRate: float32Number.positive(),
		...adamW,
		...shared,
		/** Read the cosine of both losses' gradients; costs a second backward pass. */
		interference: z.boolean().default(false),
		/** In which gradients travel between ranks; `bfloat16`, rounded at random, halves what is sent. Nothing else does. */
		collectives: ComputeDtype.default('float32'),
		/**
		 * For debugging on a card: it is an error, which names the call, when the host waits for the device before the end of
		 * the step. A model's first step may wait, since ways of attention are timed in it. On the CPU nobody waits.
		 */
		forbidWaits: z.boolean().default(false),
		/**
		 * Which shards of the update the batches are: an equal number of each, in order, and some may be empty. Gradients are
		 * added up over shards in an order that depends on their number alone. A process on its own has all of them.
		 */
		shards: z
			.strictObject({ first: nonNegativeInteger, count: positiveInteger, total: positiveInteger })
			.default({ first: 0, count: 1, total: 1 }),
	})
	.refine(isTimed, needsSteps)
	.refine(clipsInTime, needsTime)
	.refine(({ updateInBackward, interference }) => !updateInBackward || !interference, {
		path: ['updateInBackward'],
		message: 'must be off when the interference is read, which needs the gradients of both losses at once',
	})
	.refine(({ updateInBackward, shards }) => !updateInBackward || shards.count === 1, {
		path: ['updateInBackward'],
		message: 'must be off where a process computes several shards, whose gradients are added up first',
	});
export type StepOptions = z.input<typeof StepOptions>;

/** The same for the native core, schedules worked out. */
export function nativeLossOptions(options: z.output<typeof LossOptions>): NativeLossOptions {
	const { objective, step, steps = step, seed: drawn, collapseMonitors } = options;
	const { nextToken, latent } = objective;
	const weights = weightsAt(objective, step, steps);
	const target = latent?.target;
	return {
		nextTokenWeight: weights.nextToken,
		latentWeight: weights.latent,
		nextTokenOn: nextToken?.on ?? 'future',
		withCollapseMonitors: collapseMonitors && weights.latent > 0,
		withInterference: false,
		latent: {
			loss: latent?.loss.kind ?? 'mse',
			beta: latent?.loss.kind === 'smooth-l1' ? latent.loss.beta : 1,
			// A frozen target is an EMA that never moves: its momentum is 1.
			target: target?.kind === 'online' || target?.kind === 'views' ? target.kind : 'ema',
			targetLayers: target?.kind === 'ema' || target?.kind === 'frozen' ? target.layers : 1,
			antiCollapse: latent?.antiCollapse ?? {},
		},
		seed: drawn,
		step,
	};
}

export function nativeStepOptions(options: z.output<typeof StepOptions>): NativeStepOptions {
	const { objective, step, steps = step, learningRate, beta1, beta2, epsilon, weightDecay } = options;
	const { matrixUpdate, muonMomentum } = options;
	const { gradientClip, clipBy, updateInBackward, shards, collectives, forbidWaits } = options;
	const losses = nativeLossOptions(options);
	return {
		...losses,
		withInterference: options.interference && losses.latentWeight > 0 && losses.nextTokenWeight > 0,
		optimizer: { learningRate, beta1, beta2, epsilon, weightDecay, matrixUpdate, muonMomentum },
		gradientClip,
		clipBy,
		updateInBackward,
		momentum: weightsAt(objective, step, steps).momentum ?? 1,
		restartTarget: targetRestartsAt(objective, step, steps),
		collectives,
		forbidWaits,
		shards,
	};
}
