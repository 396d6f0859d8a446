/** How much text a context holds. */
export interface TextWindow {
	/** In the unit of `measure`. */
	readonly budget: number;
	/** Size of a text: its characters, or its tokens. More text must not be smaller. */
	readonly measure: (text: string) => number;
}

/** Places in a list of events, sorted by time, where a shorter text may begin. */
export interface WindowStarts {
	/** First event of each day, ascending. */
	readonly days: readonly number[];
	/** First event of each distinct time of the newest day, ascending. */
	readonly momentsOfNewestDay: readonly number[];
}

export interface WindowChoice {
	/** First event that is kept. */
	readonly from: number;
	/** False when even the newest moment with the demographics is larger than the budget; it is kept all the same. */
	readonly fits: boolean;
}

/**
 * Keeps the newest whole days that fit the budget. Only when the newest day alone is too large is it shortened, at its
 * beginning: its newest moments stay. The newest moment always stays. (paper.md section 2, row 15: the released default,
 * truncation on the right, drops the newest events.)
 *
 * @param textFrom - Text of demographics and of all events from a place on.
 */
export function newestThatFit(
	starts: WindowStarts,
	window: TextWindow,
	textFrom: (from: number) => string,
): WindowChoice {
	const fits = (from: number) => window.measure(textFrom(from)) <= window.budget;
	const { days, momentsOfNewestDay } = starts;
	if (days.length === 0) return { from: 0, fits: fits(0) };
	const newest = days.length - 1;
	if (!fits(days[newest]!)) {
		const moment = firstThatHolds(1, momentsOfNewestDay.length, (i) => fits(momentsOfNewestDay[i]!));
		if (moment < momentsOfNewestDay.length) return { from: momentsOfNewestDay[moment]!, fits: true };
		return { from: momentsOfNewestDay.at(-1)!, fits: false };
	}
	// Twice as many days at each try: a long record is not written out in full when most of it does not fit.
	let good = newest;
	let bad = -1;
	for (let count = 2; good > 0; count *= 2) {
		const day = Math.max(0, days.length - count);
		if (!fits(days[day]!)) {
			bad = day;
			break;
		}
		good = day;
	}
	const first = firstThatHolds(bad + 1, good, (day) => fits(days[day]!));
	return { from: days[first]!, fits: true };
}

/** Smallest integer from `low` to before `high` for which a predicate holds, else `high`; it holds from there on. */
function firstThatHolds(low: number, high: number, holds: (index: number) => boolean): number {
	let [from, until] = [low, high];
	while (from < until) {
		const middle = (from + until) >> 1;
		if (holds(middle)) until = middle;
		else from = middle + 1;
	}
	return from;
}
