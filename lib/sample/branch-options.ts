import { z } from 'zod';
import { fraction, positiveInteger } from '../config.js';

const share = fraction.refine((value) => value > 0, 'must be above 0');

/** What stands in the future's place (design decision 3). */
export const LatentBranch = z.discriminatedUnion('kind', [
	/** A copy of the future in which some tokens are the mask token, causal within the branch. */
	z.strictObject({
		kind: z.literal('masked'),
		/**
		 * Share of the future's tokens that is masked and predicted. 0.5 as reported second-hand; 1 leaves no token of the
		 * future to be seen.
		 */
		ratio: share.default(0.5),
		/** Length of the masked runs: 1 masks tokens one by one (BERT), more whole spans (data2vec takes 4 for text). */
		span: positiveInteger.default(1),
	}),
	/** Mask tokens in the future, each seeing the context and itself alone. */
	z
		.strictObject({
			kind: z.literal('query'),
			/** `day-ends`: the state that probes later read, one a day; `positions`: drawn without replacement (I-JEPA, V-JEPA). */
			at: z.enum(['day-ends', 'positions']).default('day-ends'),
			/** Share of the future's tokens that `positions` draws, at least one. Absent: 0.05, what the stated cost is for. */
			share: share.optional(),
		})
		.refine(({ at, share }) => share === undefined || at === 'positions', {
			path: ['share'],
			message: 'needs "at": "positions", since day ends are all taken',
		}),
	/**
	 * No encoder row at all: the predictor is given the state of the last context token and the time ahead of each future
	 * day end. The strictest reading of "from the initial patient representation alone", and the one that can be rolled out.
	 */
	z.strictObject({ kind: z.literal('state') }),
	/**
	 * LLM-JEPA (Huang et al. 2025): the context followed by `predictorTokens` mask tokens is one view, the future as a
	 * sequence of its own the other; the state of the last token of the first predicts that of the second.
	 */
	z.strictObject({ kind: z.literal('views'), predictorTokens: z.int().min(0).max(4).default(1) }),
]);
export type LatentBranch = z.infer<typeof LatentBranch>;

/** Which branches a sampler makes of a window's future. */
export const BranchOptions = z.strictObject({
	branch: LatentBranch,
	/** Cuts per window; fewer where the future has fewer days. */
	cuts: z.int().min(1).max(8),
});
export type BranchOptions = z.infer<typeof BranchOptions>;
