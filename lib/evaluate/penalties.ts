import { NativeError } from '../errors.js';

/**
 * Places of the penalties at which a probe has a solution, the strongest first. One that float64 cannot reach is passed over: the others
 * are as good as without it.
 *
 * @param converged - Of each penalty: 1 where a solution was found.
 * @param penalties - Ascending.
 * @throws {NativeError} When none has one.
 */
export function fittedFromStrongest(scope: string, converged: Uint8Array, penalties: readonly number[]): number[] {
	const places = [...penalties.keys()].filter((place) => converged[place] === 1).reverse();
	if (places.length > 0) return places;
	throw new NativeError(
		`[${scope}] one l2 of ${penalties.join(', ')} must have a solution that float64 can reach but none has`,
	);
}

/** The place itself where it has a solution, else the next stronger penalty that has one, else the next weaker one. */
export function fittedNear(place: number, converged: Uint8Array): number {
	const stronger = converged.indexOf(1, place);
	return stronger >= 0 ? stronger : Math.max(0, converged.lastIndexOf(1, place));
}
