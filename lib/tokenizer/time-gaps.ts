/** Time-gap tokens, in the manner of ETHOS: one token per interval class, put before a moment that follows a gap. */
const minute = 60_000_000;
const hour = 60 * minute;
const day = 24 * hour;

/** Lower edges in microseconds with the token of the class that begins there. Shorter gaps have no token. */
const gapClasses: readonly (readonly [number, string])[] = [
	[5 * minute, 'GAP//5m-15m'],
	[15 * minute, 'GAP//15m-1h'],
	[hour, 'GAP//1h-2h'],
	[2 * hour, 'GAP//2h-6h'],
	[6 * hour, 'GAP//6h-12h'],
	[12 * hour, 'GAP//12h-1d'],
	[day, 'GAP//1d-3d'],
	[3 * day, 'GAP//3d-1w'],
	[7 * day, 'GAP//1w-2w'],
	[14 * day, 'GAP//2w-1mt'],
	[30 * day, 'GAP//1mt-2mt'],
	[61 * day, 'GAP//2mt-3mt'],
	[91 * day, 'GAP//3mt-6mt'],
	[183 * day, 'GAP//6mt-1y'],
	[365 * day, 'GAP//1y-2y'],
	[730 * day, 'GAP//2y-5y'],
	[1826 * day, 'GAP//>=5y'],
];

export const gapTokens: readonly string[] = gapClasses.map(([, token]) => token);

const edges = Float64Array.from(gapClasses, ([edge]) => edge);

/** Class of a gap, or -1 when it is too short for a token. @param microseconds - Not negative. */
export function gapClass(microseconds: number): number {
	let found = -1;
	while (found + 1 < edges.length && microseconds >= edges[found + 1]!) found++;
	return found;
}

/** Age bands of five years; the token of a window is that of its first day. */
export const ageTokens: readonly string[] = Array.from({ length: 20 }, (_, i) =>
	i === 19 ? 'AGE//>=95' : `AGE//${5 * i}-${5 * i + 4}`,
);

/** Band of an age in years, or -1 for a negative age. */
export function ageBand(years: number): number {
	return years < 0 ? -1 : Math.min(ageTokens.length - 1, Math.floor(years / 5));
}
