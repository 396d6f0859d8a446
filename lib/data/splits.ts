import { RandomStream } from '../random.js';
import type { Split } from '../types.js';

/** Shares of the splits that are drawn where a data set brings none. */
const splitShares: Readonly<Record<Split, number>> = { train: 0.7, tuning: 0.15, held_out: 0.15 };

/** Split of a subject: a function of (seed, subject_id) alone, so that more subjects do not move the others. */
export function drawSplit(subjectId: bigint, seed: number): Split {
	const low = Number(BigInt.asUintN(32, subjectId));
	const high = Number(BigInt.asUintN(24, subjectId >> 32n));
	const u = new RandomStream(seed, 'split', low, high).uniform();
	if (u < splitShares.train) return 'train';
	return u < splitShares.train + splitShares.tuning ? 'tuning' : 'held_out';
}
