import { NativeError } from '../errors.js';

/** The strengths of an L2 penalty that a probe was fitted with, and which of them are to be had. */
export interface FittedPenalties {
	/** Ascending. */
	readonly l2: readonly number[];
	/** One of `l2`; taken when tuning cannot tell them apart. */
	readonly otherwise: number;
	/** Of each strength: 1 where a solution was found. Absent where each has one. */
	readonly converged?: Uint8Array;
}

/**
 * Place of the strength that reads tuning best. Where two read it alike the stronger one is taken: it is the simpler probe. One whose
 * solution float64 cannot reach is passed over: the others are as good as without it.
 *
 * @param scope - Of the error.
 * @param quality - On tuning, of the strength at a place; higher is better, undefined where tuning says nothing.
 * @throws {NativeError} When none has a solution.
 */
export function chosenPenalty(
	scope: string,
	{ l2, otherwise, converged }: FittedPenalties,
	quality: (place: number) => number | undefined,
): number {
	const isFitted = (place: number) => converged === undefined || converged[place] === 1;
	const fitted = [...l2.keys()].filter(isFitted).reverse();
	if (fitted.length === 0) {
		throw new NativeError(
			`[${scope}] one l2 of ${l2.join(', ')} must have a solution that float64 can reach but none has`,
		);
	}
	let [best, bestQuality]: [number | undefined, number] = [undefined, Number.NEGATIVE_INFINITY];
	for (const place of fitted) {
		const found = quality(place);
		if (found !== undefined && found > bestQuality) [best, bestQuality] = [place, found];
	}
	return best ?? nearest(fitted, l2.indexOf(otherwise));
}

/** The place itself where it has a solution, else the next stronger strength that has one, else the next weaker one. */
function nearest(fitted: readonly number[], place: number): number {
	return fitted.findLast((one) => one >= place) ?? fitted[0]!;
}
