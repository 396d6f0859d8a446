export type Point = readonly [x: number, y: number];

/** Points of a curve beyond this number are averaged in groups of neighbours for drawing. */
export const drawnPoints = 400;
/** Curves of fewer points than this are drawn as they are, without a smoothed line. */
const smoothedFrom = 40;

/** Linear map of [low, high] to [from, to]. */
export function linearScale(low: number, high: number, from: number, to: number): (value: number) => number {
	const span = high - low;
	return span === 0 ? () => (from + to) / 2 : (value) => from + ((value - low) / span) * (to - from);
}

/**
 * Multiples of 1, 2 or 5 times a power of ten inside a range, about `count` of them.
 *
 * @param smallest - Least distance of two ticks, such as 1 for whole steps.
 */
export function ticks(
	low: number,
	high: number,
	count: number,
	smallest = 0,
): { readonly values: number[]; readonly step: number } {
	const raw = Math.max((high - low) / count, smallest);
	const power = 10 ** Math.floor(Math.log10(raw));
	const step = [1, 2, 5, 10]
		.map((factor) => factor * power)
		.find((candidate) => candidate >= Math.max(raw * 0.75, smallest))!;
	const values: number[] = [];
	for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) {
		values.push(Number((i * step).toPrecision(12)));
	}
	return { values, step };
}

/** Means of consecutive groups, at most {@link drawnPoints} of them. */
export function thinned(points: readonly Point[]): readonly Point[] {
	if (points.length <= drawnPoints) return points;
	const group = Math.ceil(points.length / drawnPoints);
	const result: Point[] = [];
	for (let start = 0; start < points.length; start += group) {
		const part = points.slice(start, start + group);
		let [x, y] = [0, 0];
		for (const point of part) {
			x += point[0] / part.length;
			y += point[1] / part.length;
		}
		result.push([x, y]);
	}
	return result;
}

/** Centred moving mean over about a twentieth of the curve; undefined for a short curve, which needs none. */
export function smoothed(points: readonly Point[]): readonly Point[] | undefined {
	if (points.length < smoothedFrom) return undefined;
	const reach = Math.max(1, Math.round(points.length / 40));
	const sums = [0];
	for (const [, y] of points) sums.push(sums.at(-1)! + y);
	return points.map(([x], i): Point => {
		// The window shrinks at both ends, so that it stays centred and the ends are not pulled inwards.
		const half = Math.min(reach, i, points.length - 1 - i);
		return [x, (sums[i + half + 1]! - sums[i - half]!) / (2 * half + 1)];
	});
}

/** Smallest range that holds all values, widened when it is a single point. */
export function extent(values: readonly number[]): [low: number, high: number] {
	let low = Number.POSITIVE_INFINITY;
	let high = Number.NEGATIVE_INFINITY;
	for (const value of values) {
		low = Math.min(low, value);
		high = Math.max(high, value);
	}
	if (high > low) return [low, high];
	const reach = Math.abs(low) * 0.1 || 0.5;
	return [low - reach, low + reach];
}
