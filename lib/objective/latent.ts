import { z } from 'zod';
import { fraction, positiveInteger } from '../config.js';

/**
 * Latent loss, the paper's JEPA term: predict the target encoder's states of masked future tokens.
 *
 * y_t = stop_gradient(LN(f'(x)_t)), z_t = g(f(x~)_t), L = 1/(|M| d) sum_{t in M} |z_t - y_t|^2
 */
export const LatentObjective = z.strictObject({
	/** Weight in the total loss. Ours: with normalised targets both losses are of order one. */
	weight: z.number().positive().default(1),
	/**
	 * Share of the future tokens that are masked and predicted. 0.5 as reported second-hand; 1 is the strict reading of
	 * "from the initial patient representation alone".
	 */
	maskRatio: fraction.refine((ratio) => ratio > 0, 'must be above 0').default(0.5),
	/** EMA decay of the target encoder, constant. 0.996 is reported second-hand and is I-JEPA's first value. */
	momentum: fraction.default(0.996),
	/** Hidden width of the predictor d -> width -> d; absent: 2 d, which fits the reported parameter count. */
	predictorWidth: positiveInteger.optional(),
});
export type LatentObjective = z.infer<typeof LatentObjective>;
