import type { ValueReader } from './values.js';

/** Columns of each code: mean and last bin. */
const columnsPerCode = 2;

/**
 * What a table of laboratory values says at places of windows: of each code with values, the mean and the last bin among the
 * tokens up to the place, as shares of the scale; the middle where there is none.
 *
 * @param places - By window ascending, within one by `tokens`.
 */
export function valueSummaries(
	reader: ValueReader,
	windows: readonly { readonly tokens: Int32Array }[],
	places: readonly { readonly window: number; readonly tokens: number }[],
): { readonly features: Float32Array; readonly width: number } {
	const codes = new Map<number, number>();
	for (const { tokens } of windows)
		for (const { code } of reader.read(tokens)) if (!codes.has(code)) codes.set(code, codes.size);
	const width = Math.max(1, codes.size * columnsPerCode);
	const features = new Float32Array(places.length * width).fill(0.5);
	for (const [row, place] of places.entries()) {
		const tokens = windows[place.window]!.tokens.subarray(0, place.tokens);
		for (const { code, bin, earlier } of reader.read(tokens)) {
			const column = row * width + columnsPerCode * codes.get(code)!;
			const last = bin / (reader.bins - 1);
			const before = earlier.length === 0 ? 0 : features[column]!;
			features[column] = before + (last - before) / (earlier.length + 1);
			features[column + 1] = last;
		}
	}
	return { features, width };
}
