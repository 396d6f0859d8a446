import { z } from 'zod';
import { ConfigError } from '../errors.js';
import { type Microseconds, microsecondsPerDay } from '../types.js';
import { dayOf, isoDate } from './calendar.js';

/**
 * Time bins (days back to the start, days back to the end) of a tagged or untagged text, oldest first:
 * `[[30, 15], [15, 7], [7, 0]]`. They may leave gaps and must not overlap, or events would be written twice.
 */
export const TimeBins = z
	.array(z.tuple([z.int().positive(), z.int().nonnegative()]))
	.min(1)
	.refine((bins) => bins.every(([start, end]) => start > end), 'each bin must start more days back than it ends')
	.refine(
		(bins) => bins.every(([start], i) => i === 0 || start <= bins[i - 1]![1]),
		'bins must be listed from the oldest to the newest and must not overlap',
	);
export type TimeBins = z.output<typeof TimeBins>;

/** A bin at an index date: the interval (after, until]. */
export interface DatedBin {
	readonly after: Microseconds;
	readonly until: Microseconds;
	/** Absolute dates: `2024-01-24 - 2024-01-31`. */
	readonly label: string;
}

/** Puts bins at an index date; oldest first, as listed. @throws {ConfigError} Without an index date. */
export function datedBins(bins: TimeBins, indexDate: Microseconds | undefined): DatedBin[] {
	if (indexDate === undefined) {
		throw new ConfigError(
			'[text] indexDate must be given with timeBins, which count days back from it, but is absent; give the date of the prediction',
		);
	}
	return bins.map(([start, end]) => {
		const after = indexDate - BigInt(start) * microsecondsPerDay;
		const until = indexDate - BigInt(end) * microsecondsPerDay;
		return { after, until, label: `${isoDate(dayOf(after))} - ${isoDate(dayOf(until))}` };
	});
}
