import { DataError } from '../../errors.js';

/** How long samples were seen, and whether that ended with the event. */
export interface FollowUp {
	/** (samples,) from the index date to the event or to the end of follow-up. */
	readonly days: ArrayLike<number>;
	/** (samples,) 1 where the event was seen, 0 where follow-up ended before it. */
	readonly events: ArrayLike<number>;
}

/** @throws {DataError} For a time that is negative or not finite, an event that is neither 0 nor 1, other lengths. */
export function requireFollowUp({ days, events }: FollowUp): void {
	const refuse = (file: string, rule: string, value: string): never => {
		throw new DataError('metrics', { file, rule, value });
	};
	if (days.length !== events.length) refuse('days', `must be as many as the ${events.length} events`, `${days.length}`);
	for (let i = 0; i < days.length; i++) {
		const time = days[i]!;
		if (!Number.isFinite(time) || time < 0) refuse('days', 'must be at least 0 and finite', `${time} at place ${i}`);
		if (events[i] !== 0 && events[i] !== 1) refuse('events', 'must be 0 or 1', `${events[i]} at place ${i}`);
	}
}

/** Places of samples by descending time; at one time those who were censored come before the events. */
export function byDescendingTime({ days, events }: FollowUp): Int32Array {
	return Int32Array.from({ length: days.length }, (_, i) => i).sort(
		(a, b) => days[b]! - days[a]! || events[a]! - events[b]!,
	);
}

/**
 * Kaplan-Meier curve of censoring: the share of samples that would still be followed at a time if there were no events. At one
 * time, events come before the end of follow-up.
 */
export class CensoringCurve {
	/** Ascending times at which somebody was censored, and the share that is followed beyond each. */
	readonly #times: Float64Array;
	readonly #shares: Float64Array;

	/** @throws {DataError} */
	constructor(followUp: FollowUp) {
		requireFollowUp(followUp);
		const { days, events } = followUp;
		const order = byDescendingTime(followUp).reverse();
		const times: number[] = [];
		const shares: number[] = [];
		let share = 1;
		for (let i = 0; i < order.length; ) {
			const time = days[order[i]!]!;
			let [end, seen] = [i, 0];
			for (; end < order.length && days[order[end]!] === time; end++) seen += events[order[end]!]!;
			const censored = end - i - seen;
			if (censored > 0) {
				share *= 1 - censored / (order.length - i - seen);
				times.push(time);
				shares.push(share);
			}
			i = end;
		}
		this.#times = Float64Array.from(times);
		this.#shares = Float64Array.from(shares);
	}

	/** The share that is followed at least up to a time. */
	at(days: number): number {
		const place = this.#before(days);
		return place === 0 ? 1 : this.#shares[place - 1]!;
	}

	/** How many of the times lie before one. */
	#before(days: number): number {
		let [low, high] = [0, this.#times.length];
		while (low < high) {
			const middle = (low + high) >> 1;
			if (this.#times[middle]! < days) low = middle + 1;
			else high = middle;
		}
		return low;
	}
}
