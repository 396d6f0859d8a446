import type { ValueToken } from './values.js';

/** Strengths of smoothing that are tried, in pseudo-counts. */
const strengths = [0.1, 0.3, 1, 3, 10, 30, 100] as const;
const withoutTuning = 1;

/** Counts of one code: how often each bin was seen, and each after each bin; the last row is of a first value. */
interface CodeCounts {
	readonly byBin: Float64Array;
	/** ((bins + 1) x bins) */
	readonly byPrevious: Float64Array;
}

/**
 * Two tables of value tokens: P(bin | code), smoothed towards equal bins, and P(bin | code, its previous bin), smoothed towards
 * the first. What the window does not hold of a code does not count as previous: the tables know what a reader of the same
 * tokens can know.
 */
export class BinTables {
	readonly bins: number;
	readonly #counts = new Map<number, CodeCounts>();
	#towardsEqual: number = withoutTuning;
	#towardsCode: number = withoutTuning;

	constructor(bins: number) {
		this.bins = bins;
	}

	add({ code, bin, earlier }: ValueToken): void {
		let counts = this.#counts.get(code);
		if (counts === undefined) {
			const { bins } = this;
			counts = { byBin: new Float64Array(bins), byPrevious: new Float64Array((bins + 1) * bins) };
			this.#counts.set(code, counts);
		}
		counts.byBin[bin]!++;
		counts.byPrevious[(earlier.at(-1) ?? this.bins) * this.bins + bin]!++;
	}

	/** Codes that were seen, and how often. */
	*codes(): Generator<readonly [code: number, byBin: Float64Array]> {
		for (const [code, { byBin }] of this.#counts) yield [code, byBin];
	}

	/** Takes the smoothing under which other patients' values are likeliest; without any it stays one pseudo-count. */
	tune(values: readonly ValueToken[]): void {
		if (values.length === 0) return;
		const best = (probability: (value: ValueToken, strength: number) => number) =>
			bestOf(strengths, (strength) => meanLoss(values, (value) => probability(value, strength)));
		this.#towardsEqual = best((value, strength) => this.byCode(value, strength));
		this.#towardsCode = best((value, strength) => this.byPrevious(value, strength));
	}

	/** P(bin | code) of a value. */
	byCode({ code, bin }: ValueToken, strength = this.#towardsEqual): number {
		const counts = this.#counts.get(code)?.byBin;
		return smoothed(counts, 0, this.bins, bin, strength, 1 / this.bins);
	}

	/** P(bin | code, previous bin) of a value. */
	byPrevious(value: ValueToken, strength = this.#towardsCode): number {
		const { code, bin, earlier } = value;
		const row = (earlier.at(-1) ?? this.bins) * this.bins;
		return smoothed(this.#counts.get(code)?.byPrevious, row, this.bins, bin, strength, this.byCode(value));
	}
}

function smoothed(
	counts: Float64Array | undefined,
	row: number,
	bins: number,
	bin: number,
	strength: number,
	prior: number,
): number {
	if (counts === undefined) return prior;
	let total = 0;
	for (let i = 0; i < bins; i++) total += counts[row + i]!;
	return (counts[row + bin]! + strength * prior) / (total + strength);
}

/** Mean negative log-likelihood, nats. */
export function meanLoss(values: readonly ValueToken[], probability: (value: ValueToken) => number): number {
	return values.reduce((sum, value) => sum - Math.log(probability(value)), 0) / values.length;
}

/** The choice with the least loss; the first of equals. */
export function bestOf<T>(choices: readonly T[], loss: (choice: T) => number): T {
	let best = choices[0] as T;
	let least = Number.POSITIVE_INFINITY;
	for (const choice of choices) {
		const found = loss(choice);
		if (found < least) [best, least] = [choice, found];
	}
	return best;
}
