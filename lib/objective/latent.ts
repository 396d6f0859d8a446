import { z } from 'zod';
import { float32Number, fraction, nonNegativeInteger, positiveInteger } from '../config.js';
import { LatentBranch } from '../sample/branch-options.js';

const weight = float32Number.nonnegative();

/** Distance of a prediction z from its target y, which is layer-normalised. */
const LatentLoss = z.discriminatedUnion('kind', [
	/** Mean of (z - y)^2; reported second-hand for the paper. */
	z.strictObject({ kind: z.literal('mse') }),
	/** Huber; I-JEPA takes beta 1. */
	z.strictObject({ kind: z.literal('smooth-l1'), beta: float32Number.positive().default(1) }),
	/** Mean of |z - y|; V-JEPA, and the paper's figure. */
	z.strictObject({ kind: z.literal('l1') }),
	/** Mean of 1 - cosine. */
	z.strictObject({ kind: z.literal('cosine') }),
]);

/** g: from a state in the branch to a target state. Discarded by exports unless asked for. */
const LatentPredictor = z.discriminatedUnion('kind', [
	/** d -> width -> d with GELU; width 2 d fits the reported parameter count and is data2vec's head. */
	z.strictObject({ kind: z.literal('mlp'), width: positiveInteger.optional() }),
	/**
	 * A narrow transformer that is told the time to the target (I-JEPA and V-JEPA: 12 layers of width 384, told the
	 * position). Each predicted row sees the state of the last context token and itself, never another row; with a `state`
	 * branch it starts from a learned token instead of a branch row. Time enters as sines and cosines of log(1 + days).
	 */
	z.strictObject({
		kind: z.literal('transformer'),
		/** 2: reported second-hand for the paper. */
		layers: positiveInteger.default(2),
		/** Even. Absent: a quarter of the hidden size in steps of 32, at least 64. */
		width: positiveInteger.optional(),
		/** Divides the width. Absent: heads of 32 features, as in I-JEPA and V-JEPA. */
		heads: positiveInteger.optional(),
	}),
	z.strictObject({ kind: z.literal('identity') }),
]);

/** Whose states are predicted; without a gradient but for `views`. */
const LatentTarget = z.discriminatedUnion('kind', [
	/** An exponential moving average of the encoder: f' <- momentum f' + (1 - momentum) f after each update. */
	z.strictObject({
		kind: z.literal('ema'),
		/**
		 * 0.996 is reported second-hand and is I-JEPA's first value: a half-life of 173 updates. The average starts as a copy
		 * of the encoder, so it is not biased towards 0 but towards the initial weights, whose share after n updates is
		 * momentum^n: a half after 173, 2 % after 1,000. In a curriculum the copy is made when the latent stage begins.
		 */
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
	/** The encoder's state of the second view, with a gradient and without normalisation (LLM-JEPA). */
	z.strictObject({ kind: z.literal('views') }),
]);

/** Terms that keep predictions spread out, added to the latent loss. @internal */
export const AntiCollapse = z.strictObject({
	/** VICReg's hinge on the standard deviation of each feature; VICReg takes 25 beside an invariance weight of 25. */
	variance: weight.default(0),
	/** VICReg's penalty on covariances; VICReg takes 1. */
	covariance: weight.default(0),
	/** SIGReg (LeJEPA): Epps-Pulley distance from an isotropic Gaussian along 256 random directions; LeJEPA takes 0.05. */
	sigreg: weight.default(0),
});

const Options = z.strictObject({
	/**
	 * Weight in the total loss (lambda). Absent: 1, ours, since with normalised targets both losses are of order one; for
	 * `views` 0.1, the default of the reference's code, whose paper tries 0.5, 1, 2 and 4.
	 */
	weight: float32Number.positive().optional(),
	/** Share of the steps in which the weight rises from 0 linearly. */
	weightWarmup: fraction.default(0),
	/** Cuts per patient; they share one trunk and one target pass. The first is drawn over the whole record. */
	cuts: z.int().min(1).max(8).default(1),
	branch: LatentBranch.prefault({ kind: 'masked' }),
	/** Absent: `mse`; for `views` `cosine`. */
	loss: LatentLoss.optional(),
	/** Absent: `mlp`; for a `state` branch `transformer`; for `views` `identity`: the encoder itself predicts. */
	predictor: LatentPredictor.optional(),
	/** Absent: `ema`; for `views` `views`. */
	target: LatentTarget.optional(),
	antiCollapse: AntiCollapse.prefault({}),
	/** Steps between two readings of the cosine of both losses' gradients, which costs a second backward pass; 0 never. */
	interferenceEvery: nonNegativeInteger.default(0),
});

/** Defaults that depend on the branch. */
const defaultsOf = {
	masked: { weight: 1, loss: 'mse', predictor: 'mlp', target: 'ema' },
	query: { weight: 1, loss: 'mse', predictor: 'mlp', target: 'ema' },
	state: { weight: 1, loss: 'mse', predictor: 'transformer', target: 'ema' },
	views: { weight: 0.1, loss: 'cosine', predictor: 'identity', target: 'views' },
} as const;

/**
 * Latent loss, the paper's JEPA term: predict the target encoder's states of future positions that the branch does not see.
 *
 * y_t = stop_gradient(LN(f'(x)_t)), z_t = g(f(branch)_t), L = mean over predicted t of loss(z_t, y_t)
 */
export const LatentObjective = Options.transform((options) => {
	const defaults = defaultsOf[options.branch.kind];
	return {
		...options,
		weight: options.weight ?? defaults.weight,
		loss: options.loss ?? LatentLoss.parse({ kind: defaults.loss }),
		predictor: options.predictor ?? LatentPredictor.parse({ kind: defaults.predictor }),
		target: options.target ?? LatentTarget.parse({ kind: defaults.target }),
	};
})
	.refine(({ branch, predictor }) => branch.kind !== 'state' || predictor.kind === 'transformer', {
		path: ['predictor', 'kind'],
		message: 'must be "transformer" for a "state" branch, since no other is told the time ahead',
	})
	.refine(({ branch, predictor }) => branch.kind !== 'views' || predictor.kind !== 'transformer', {
		path: ['predictor', 'kind'],
		message: 'must be "identity" or "mlp" for a "views" branch, whose target has no time ahead',
	})
	.refine(({ branch, target }) => (branch.kind === 'views') === (target.kind === 'views'), {
		path: ['target', 'kind'],
		message: 'must be "views" exactly when the branch is',
	});
export type LatentObjective = z.infer<typeof LatentObjective>;
