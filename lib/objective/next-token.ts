import { z } from 'zod';
import { float32Number } from '../config.js';

/**
 * Next-token loss, which the paper calls SFT: the model reconstructs the record in token space.
 *
 * L = -1/|S| sum_{t in S} log p(x_t | x_<t)
 */
export const NextTokenObjective = z.strictObject({
	/** Weight in the total loss. Ours: the paper's value is not known. */
	weight: float32Number.positive().default(1),
	/**
	 * Tokens S that carry loss: every token but the first of a window, or the future alone ("reconstruct future patient
	 * states", abstract), which learns much less from as many tokens (docs/adr/0010).
	 */
	on: z.enum(['future', 'all']).default('all'),
});
export type NextTokenObjective = z.infer<typeof NextTokenObjective>;
