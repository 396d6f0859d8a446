import type { FollowUp } from './follow-up.js';

/** At most so many periods, each with this many training events at least where there are enough. */
const mostPeriods = 20;
const leastEvents = 5;

/**
 * Ends of the periods of a discrete-time hazard, ascending, in days: quantiles of the times of events, so that periods hold about
 * as many. Each holds an event and a sample that lives through it.
 *
 * @returns None when no period can be had: no event, or nobody outlives the last.
 */
export function periodEnds(followUp: FollowUp): number[] {
	const { days, events } = followUp;
	const times: number[] = [];
	for (let i = 0; i < days.length; i++) if (events[i] === 1) times.push(days[i]!);
	times.sort((a, b) => a - b);
	const wanted = Math.min(mostPeriods, Math.max(1, Math.floor(times.length / leastEvents)));
	const ends = new Set<number>();
	for (let k = 1; k <= wanted && times.length > 0; k++) ends.add(times[Math.ceil((k * times.length) / wanted) - 1]!);
	const result = [...ends];
	while (result.length > 0 && !outlived(followUp, result)) {
		// The last period has events alone: it is left out, and who has the event then lives through those before.
		const last = result.pop()!;
		const earlier = times.findLast((time) => time < last);
		if (result.length === 0 && earlier !== undefined) result.push(earlier);
	}
	return result;
}

/** Whether every period has a sample that lives through it. */
function outlived(followUp: FollowUp, ends: readonly number[]): boolean {
	const { atRisk, events } = inPeriods(followUp, ends);
	// Who lives through a later period lived through those before.
	return atRisk.some((periods, i) => periods === ends.length && events[i] === 0);
}

/**
 * Samples by period: through how many each was seen, and whether the event came in the last of them. The period in which a
 * sample is censored does not count. An event after the last period is a sample that lived through all.
 */
export function inPeriods(
	{ days, events }: FollowUp,
	ends: readonly number[],
): { readonly atRisk: Int32Array; readonly events: Uint8Array } {
	const atRisk = new Int32Array(days.length);
	const seen = new Uint8Array(days.length);
	for (let i = 0; i < days.length; i++) {
		const time = days[i]!;
		const event = events[i] === 1;
		let period = 0;
		while (period < ends.length && ends[period]! < time) period++;
		// Here the first period that ends at the time or after it, or none.
		const isSeen = event && period < ends.length;
		const livesThrough = !event && period < ends.length && ends[period] === time;
		atRisk[i] = isSeen || livesThrough ? period + 1 : period;
		seen[i] = isSeen ? 1 : 0;
	}
	return { atRisk, events: seen };
}
