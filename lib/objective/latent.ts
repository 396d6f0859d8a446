import { z } from 'zod';
import { fraction, nonNegativeInteger, positiveInteger } from '../config.js';

const weight = z.number().nonnegative();

/** Distance of a prediction z from its target y, which is layer-normalised. */
export const LatentLoss = z.discriminatedUnion('kind', [
	/** Mean of (z - y)^2; reported second-hand for the paper. */
	z.strictObject({ kind: z.literal('mse') }),
	/** Huber; I-JEPA takes beta 1. */
	z.strictObject({ kind: z.literal('smooth-l1'), beta: z.number().positive().default(1) }),
	/** Mean of |z - y|; V-JEPA, and the paper's figure. */
	z.strictObject({ kind: z.literal('l1') }),
	/** Mean of 1 - cosine. */
	z.strictObject({ kind: z.literal('cosine') }),
]);

/** What stands in the future's place (design decision 3). */
export const LatentBranch = z.discriminatedUnion('kind', [
	/** A copy of the future in which some tokens are the mask token, causal within the branch. */
	z.strictObject({
		kind: z.literal('masked'),
		/**
		 * Share of the future's tokens that is masked and predicted. 0.5 as reported second-hand; 1 is the strict reading of
		 * "from the initial patient representation alone".
		 */
		ratio: fraction.refine((ratio) => ratio > 0, 'must be above 0').default(0.5),
		/** Length of the masked runs; 1 masks tokens one by one. */
		span: positiveInteger.default(1),
	}),
	/** One mask token at the end of each future day, seeing the context and itself alone: the state that probes later read. */
	z.strictObject({ kind: z.literal('query') }),
]);

/** g: from a state in the branch to a target state. Discarded by exports unless asked for. */
export const LatentPredictor = z.discriminatedUnion('kind', [
	/** d -> width -> d with GELU; width 2 d fits the reported parameter count and is data2vec's head. */
	z.strictObject({ kind: z.literal('mlp'), width: positiveInteger.optional() }),
	z.strictObject({ kind: z.literal('identity') }),
]);

/** Whose states are predicted. Never with a gradient. */
export const LatentTarget = z.discriminatedUnion('kind', [
	/** An exponential moving average of the encoder: f' <- momentum f' + (1 - momentum) f after each update. */
	z.strictObject({
		kind: z.literal('ema'),
		/** 0.996 is reported second-hand and is I-JEPA's first value: a half-life of 173 updates. */
		momentum: fraction.default(0.996),
		/** Momentum of the last update, reached linearly; absent: constant. I-JEPA takes 1. */
		finalMomentum: fraction.optional(),
		/** Mean over this many last blocks, each layer-normalised (data2vec); 1 is the state after the final norm. */
		layers: positiveInteger.default(1),
	}),
	/** The encoder itself (SimSiam, VICReg); needs an anti-collapse term or the next-token loss. */
	z.strictObject({ kind: z.literal('online') }),
	/** The initial weights for ever. */
	z.strictObject({ kind: z.literal('frozen'), layers: positiveInteger.default(1) }),
]);

/** Terms that keep predictions spread out, added to the latent loss. */
export const AntiCollapse = z.strictObject({
	/** VICReg's hinge on the standard deviation of each feature; VICReg takes 25 beside an invariance weight of 25. */
	variance: weight.default(0),
	/** VICReg's penalty on covariances; VICReg takes 1. */
	covariance: weight.default(0),
	/** SIGReg (LeJEPA): Epps-Pulley distance from an isotropic Gaussian along 256 random directions; LeJEPA takes 0.05. */
	sigreg: weight.default(0),
});

/**
 * Latent loss, the paper's JEPA term: predict the target encoder's states of future positions that the branch does not see.
 *
 * y_t = stop_gradient(LN(f'(x)_t)), z_t = g(f(branch)_t), L = mean over predicted t of loss(z_t, y_t)
 */
export const LatentObjective = z.strictObject({
	/** Weight in the total loss (lambda). Ours: with normalised targets both losses are of order one. */
	weight: z.number().positive().default(1),
	/** Share of the steps in which the weight rises from 0 linearly. */
	weightWarmup: fraction.default(0),
	/** Cuts per patient; they share one trunk and one target pass. The first is drawn over the whole record. */
	cuts: z.int().min(1).max(8).default(1),
	branch: LatentBranch.prefault({ kind: 'masked' }),
	loss: LatentLoss.prefault({ kind: 'mse' }),
	predictor: LatentPredictor.prefault({ kind: 'mlp' }),
	target: LatentTarget.prefault({ kind: 'ema' }),
	antiCollapse: AntiCollapse.prefault({}),
	/** Steps between two readings of the cosine of both losses' gradients, which costs a second backward pass; 0 never. */
	interferenceEvery: nonNegativeInteger.default(0),
});
export type LatentObjective = z.infer<typeof LatentObjective>;
