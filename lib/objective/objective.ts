import { z } from 'zod';
import { float32Number, fraction } from '../config.js';
import { LatentObjective } from './latent.js';
import { NextTokenObjective } from './next-token.js';

/** When each loss is on. */
const Schedule = z.discriminatedUnion('kind', [
	/** Both from the first step. */
	z.strictObject({ kind: z.literal('simultaneous') }),
	/** Next-token loss alone, then the latent loss with the next-token loss as an anchor (paper notes, row 11). */
	z.strictObject({
		kind: z.literal('curriculum'),
		/** Share of the steps before the latent loss begins. */
		sftFraction: fraction.default(0.5),
		/** Weight of the next-token loss in the second stage; 0 drops it. Ours: whether the paper drops it is not known. */
		anchorWeight: float32Number.nonnegative().default(0.1),
	}),
]);

/** What a run optimises: one or both losses; null switches one off. */
export const Objective = z
	.strictObject({
		nextToken: NextTokenObjective.nullable().prefault({}),
		latent: LatentObjective.nullable().prefault({}),
		schedule: Schedule.prefault({ kind: 'simultaneous' }),
	})
	.refine((objective) => objective.nextToken !== null || objective.latent !== null, {
		message: 'must switch on nextToken, latent or both',
	})
	.refine(
		({ schedule, nextToken, latent }) => schedule.kind === 'simultaneous' || (nextToken !== null && latent !== null),
		{ path: ['schedule'], message: 'curriculum needs both nextToken and latent' },
	);
export type Objective = z.infer<typeof Objective>;

/**
 * Objectives with a name: `smb-structure` is the closest reading of the paper's simultaneous schedule, `curriculum` of the
 * one it found better, `fast` predicts day ends from queries at a third of the cost, `rollout` predicts them from the state
 * of the context and the time ahead alone, `llm-jepa` is the two-view form of the field.
 */
export const objectivePresets = {
	sft: { nextToken: {}, latent: null },
	'smb-structure': { nextToken: {}, latent: {} },
	curriculum: { nextToken: {}, latent: {}, schedule: { kind: 'curriculum' } },
	fast: { nextToken: {}, latent: { branch: { kind: 'query' } } },
	jepa: { nextToken: null, latent: {} },
	rollout: { nextToken: {}, latent: { branch: { kind: 'state' } } },
	'llm-jepa': { nextToken: {}, latent: { branch: { kind: 'views' } } },
} as const satisfies Record<string, z.input<typeof Objective>>;
export type ObjectivePreset = keyof typeof objectivePresets;

/** Weights of one step. */
export interface StepWeights {
	readonly nextToken: number;
	readonly latent: number;
	/** EMA decay of the target encoder; null without one that moves. */
	readonly momentum: number | null;
}

/**
 * @param update - 1 for the first update. Updates beyond `steps`, of a run that was extended, have the weights of the last.
 * @param steps - Length of the schedules.
 */
export function weightsAt(objective: Objective, update: number, steps: number): StepWeights {
	const step = Math.min(update, steps);
	const { nextToken, latent, schedule } = objective;
	const latentBegins = schedule.kind === 'curriculum' ? Math.round(schedule.sftFraction * steps) : 0;
	const latentOn = latent !== null && step > latentBegins;
	const nextWeight = schedule.kind === 'curriculum' && latentOn ? schedule.anchorWeight : (nextToken?.weight ?? 0);
	if (!latentOn) return { nextToken: nextWeight, latent: 0, momentum: null };
	const warmup = latent.weightWarmup * (steps - latentBegins);
	const rising = warmup === 0 ? 1 : Math.min(1, (step - latentBegins) / warmup);
	return { nextToken: nextWeight, latent: latent.weight * rising, momentum: momentumAt(latent, step, steps) };
}

/**
 * Whether the target encoder starts anew from the encoder before a step: at the first latent step of a curriculum, whose
 * first stage it has not followed.
 */
export function targetRestartsAt(objective: Objective, step: number, steps: number): boolean {
	const { latent, schedule } = objective;
	if (latent?.target.kind !== 'ema' || schedule.kind === 'simultaneous' || step === 1) return false;
	return weightsAt(objective, step - 1, steps).latent === 0 && weightsAt(objective, step, steps).latent > 0;
}

function momentumAt({ target }: LatentObjective, step: number, steps: number): number | null {
	if (target.kind === 'online' || target.kind === 'views') return null;
	if (target.kind === 'frozen') return 1;
	const { momentum, finalMomentum = momentum } = target;
	return momentum + (finalMomentum - momentum) * (steps === 1 ? 0 : (step - 1) / (steps - 1));
}
