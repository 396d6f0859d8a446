import { nativeAddon, nativeCall } from '../../native.js';
import { type BinTables, bestOf, meanLoss } from './bin-tables.js';
import { NormalBins } from './normal-bins.js';
import type { ValueToken } from './values.js';

/** Weight of an earlier value against the one after it, by which histories are averaged; 0 takes the newest alone. */
const decays = [0, 0.5, 0.75, 0.9, 1] as const;
/** Long averages are also taken as if so many values of the mean patient had been seen. */
const shrinkage = 2;
const features = decays.length + 3;
/** Histories whose next value is equally uncertain: up to 1, 2, 5 and more earlier values. */
const lengthGroups = [1, 2, 5, Number.POSITIVE_INFINITY] as const;
/** Below this many values a code has no filter of its own, and its table stands in. */
const fewest = 200;
const l2 = 1e-3;
/** Share of the prediction that is the filter's; the table P(bin | code, previous bin) has the rest. */
const shares = [1, 0.98, 0.9, 0.75, 0.5, 0.25, 0] as const;
const widths = [0.85, 0.9, 0.95, 1, 1.05, 1.1] as const;
/** So that no bin is impossible. */
const floor = 1e-4;

interface CodeFilter {
	readonly bins: NormalBins;
	/** (features + 1,), the intercept last. */
	readonly weights: Float64Array;
	/** (length groups,) standard deviation of what is predicted. */
	readonly deviations: Float64Array;
}

/** Values of one code that a filter is fitted on. */
export class FilterSamples {
	readonly #histories = new Map<number, number[][]>();
	readonly #targets = new Map<number, number[]>();
	#size = 0;

	get size(): number {
		return this.#size;
	}

	/** First values have no history and are left out. */
	add({ code, bin, earlier }: ValueToken): void {
		if (earlier.length === 0) return;
		const histories = this.#histories.get(code) ?? [];
		const targets = this.#targets.get(code) ?? [];
		this.#histories.set(code, histories);
		this.#targets.set(code, targets);
		histories.push([...earlier]);
		targets.push(bin);
		this.#size++;
	}

	of(code: number): { readonly histories: readonly number[][]; readonly targets: readonly number[] } {
		return { histories: this.#histories.get(code) ?? [], targets: this.#targets.get(code) ?? [] };
	}
}

/**
 * A linear filter over all earlier values of the same code in the window: ridge regression from averages over the history (the
 * newest value, four decays, two shrunk towards the mean patient) to the value on a normal scale, whose prediction is a
 * distribution over ordered bins. Mixed with the table of the previous bin, as is likeliest on tuning patients, it is what the
 * best linear reader of one laboratory test knows.
 */
export class HistoryFilter {
	readonly #tables: BinTables;
	readonly #filters: ReadonlyMap<number, CodeFilter>;
	#share = 1;
	#width = 1;

	private constructor(tables: BinTables, filters: ReadonlyMap<number, CodeFilter>) {
		this.#tables = tables;
		this.#filters = filters;
	}

	/** @throws {NativeError} */
	static async fit(tables: BinTables, samples: FilterSamples): Promise<HistoryFilter> {
		const filters = new Map<number, CodeFilter>();
		for (const [code, byBin] of tables.codes()) {
			const { histories, targets } = samples.of(code);
			if (targets.length < fewest) continue;
			filters.set(code, await fitCode(new NormalBins(byBin), histories, targets));
		}
		return new HistoryFilter(tables, filters);
	}

	/** Takes the width and the share of the filter under which other patients' values are likeliest. */
	tune(values: readonly ValueToken[]): void {
		if (values.length === 0) return;
		const loss = (share: number, width: number) => meanLoss(values, (value) => this.probability(value, share, width));
		this.#width = bestOf(widths, (width) => loss(1, width));
		this.#share = bestOf(shares, (share) => loss(share, this.#width));
	}

	/** P(bin | code, its earlier bins in the window) of a value. */
	probability(value: ValueToken, share = this.#share, width = this.#width): number {
		const { code, bin, earlier } = value;
		const table = this.#tables.byPrevious(value);
		const filter = this.#filters.get(code);
		if (filter === undefined || earlier.length === 0) return table;
		const { bins, weights, deviations } = filter;
		const mean = predicted(weights, historyFeatures(earlier, bins.scores));
		const found = bins.probability(bin, mean, width * deviations[groupOf(earlier.length)]!);
		return (1 - floor) * (share * found + (1 - share) * table) + floor / bins.scores.length;
	}
}

async function fitCode(
	bins: NormalBins,
	histories: readonly (readonly number[])[],
	targets: readonly number[],
): Promise<CodeFilter> {
	const rows = targets.length;
	const inputs = new Float32Array(rows * features);
	for (const [row, history] of histories.entries()) inputs.set(historyFeatures(history, bins.scores), row * features);
	const scores = Float32Array.from(targets, (bin) => bins.scores[bin]!);
	const { weights } = await nativeCall(() =>
		nativeAddon().fitRidge({
			features: inputs,
			rows,
			columns: features,
			targets: scores,
			outputs: 1,
			l2: Float64Array.of(l2),
		}),
	);
	const squares = new Float64Array(lengthGroups.length);
	const counts = new Float64Array(lengthGroups.length);
	let all = 0;
	for (const [row, history] of histories.entries()) {
		const error = (scores[row]! - predicted(weights, inputs.subarray(row * features, (row + 1) * features))) ** 2;
		squares[groupOf(history.length)]! += error;
		counts[groupOf(history.length)]!++;
		all += error / rows;
	}
	// Few of one length say little: as if twenty of the average error had been seen.
	const deviations = squares.map((sum, i) => Math.sqrt((sum + 20 * all) / (counts[i]! + 20) + bins.withinVariance));
	return { bins, weights, deviations };
}

function groupOf(length: number): number {
	return lengthGroups.findIndex((longest) => length <= longest);
}

function historyFeatures(history: readonly number[], scores: Float64Array): Float32Array {
	const result = new Float32Array(features);
	for (const [i, decay] of decays.entries()) {
		let [sum, weight, factor] = [0, 0, 1];
		for (let at = history.length - 1; at >= 0 && factor > 1e-3; at--, factor *= decay) {
			sum += factor * scores[history[at]!]!;
			weight += factor;
		}
		result[i] = sum / weight;
		if (decay === 0.9) result[decays.length] = sum / (weight + shrinkage);
		if (decay === 1) result[decays.length + 1] = sum / (weight + shrinkage);
	}
	result[decays.length + 2] = history.length > 1 ? scores[history.at(-2)!]! : 0;
	return result;
}

function predicted(weights: Float64Array, inputs: Float32Array): number {
	let sum = weights[features]!;
	for (let i = 0; i < features; i++) sum += weights[i]! * inputs[i]!;
	return sum;
}
