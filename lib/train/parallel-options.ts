import { z } from 'zod';
import { positiveInteger } from '../config.js';

/** How the processes of a run (docs/cluster.md) share its training. */
export const ParallelOptions = z.strictObject({
	/** Every rank has the whole model; gradients are added up over ranks. */
	kind: z.literal('ddp').default('ddp'),
	/**
	 * Shards into which each batch is split, at least as many as there will ever be ranks: results are then the same to the
	 * bit for any number of ranks. Null: as many as there are ranks, and results of other numbers of ranks differ by rounding.
	 */
	virtualShards: positiveInteger.max(4096).nullable().default(null),
});
export type ParallelOptions = z.infer<typeof ParallelOptions>;
