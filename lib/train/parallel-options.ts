import { z } from 'zod';
import { positiveInteger } from '../config.js';
import { ComputeDtype } from '../model/compute-dtype.js';

/** How the processes of a run (docs/cluster.md) share its training. */
export const ParallelOptions = z.strictObject({
	/**
	 * What each rank keeps: everything (`ddp`); moments and EMA of its own part of the parameters alone (`zero1`); gradients of that
	 * part alone too (`zero2`), where it computes one batch of an update; and the encoder's parameters themselves (`zero3`), of which a
	 * step gathers each block while it needs it. The results are the same to the bit.
	 */
	kind: z.enum(['ddp', 'zero1', 'zero2', 'zero3']).default('ddp'),
	/**
	 * Shards into which each batch is split, at least as many as there will ever be ranks: results are then the same to the
	 * bit for any number of ranks. Null: as many as there are ranks, and results of other numbers of ranks differ by rounding.
	 */
	virtualShards: positiveInteger.max(4096).nullable().default(null),
	/**
	 * In which gradients travel between ranks: `float32`, or `bfloat16`, which halves what is sent. Each number is then rounded up or
	 * down at random, so that its mean is the number itself; the draws follow from the seed. Sums are made in float32 all the same.
	 */
	collectives: ComputeDtype.default('float32'),
});
export type ParallelOptions = z.infer<typeof ParallelOptions>;
