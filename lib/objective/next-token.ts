import { z } from 'zod';
import { float32Number } from '../config.js';

/**
 * Next-token loss, which the paper calls SFT: the model reconstructs the future in token space.
 *
 * L = -1/|F| sum_{t in F} log p(x_t | x_<t)
 */
export const NextTokenObjective = z.strictObject({
	/** Weight in the total loss. Ours: the paper's value is not known. */
	weight: float32Number.positive().default(1),
	/**
	 * Tokens that carry loss: the future alone ("reconstruct future patient states", abstract), or every token but the
	 * first of a window.
	 */
	on: z.enum(['future', 'all']).default('future'),
});
export type NextTokenObjective = z.infer<typeof NextTokenObjective>;
