import { requirePredictions } from './metrics.js';

/**
 * Predictions gathered by score and label, from the highest score down. Metrics of the cells, weighted by their sizes, are those
 * of the samples.
 */
export interface PredictionCells {
	/** (cells,) descending; the mean of a cell that holds several scores. */
	readonly scores: Float64Array;
	/** (cells,) 0 or 1. */
	readonly labels: Uint8Array;
	/** (cells,) samples in each. */
	readonly sizes: Float64Array;
}

/** Scores in ascending order, each with its samples; or ranges of neighbouring scores. */
interface Levels {
	/** Mean, and lowest score. */
	readonly scores: Float64Array;
	readonly lows: Float64Array;
	readonly negatives: Float64Array;
	readonly positives: Float64Array;
}

/** Predictions of one model, from exact to coarse. */
export class GatheredPredictions {
	/** Every distinct score. */
	readonly exact: PredictionCells;
	/**
	 * Neighbouring scores together, so that a resample costs an addition a sample and its metrics an effort by the number of cells.
	 * Narrow where a ranking is read, at both of its ends: a cell with r samples beyond it holds at most r / `fine` of them, or one
	 * distinct score. Up to `fine` distinct scores from an end nothing is lost.
	 */
	readonly fine: PredictionCells;
	/** (samples,) the fine cell of each. */
	readonly cellOf: Int32Array;
	/** The fine cells gathered once more. */
	readonly coarse: PredictionCells;
	/** (fine cells,) the coarse cell of each. */
	readonly coarseOf: Int32Array;

	/** @throws {DataError} For a score that is not finite, or a label that is neither 0 nor 1. */
	constructor(
		scores: ArrayLike<number>,
		labels: ArrayLike<number>,
		{ fine, coarse }: { readonly fine: number; readonly coarse: number },
	) {
		requirePredictions(scores, labels);
		const levels = distinctLevels(scores, labels);
		const fineLevels = widened(levels, fine);
		const coarseLevels = widened(fineLevels, coarse);
		this.exact = cellsOf(levels).cells;
		const fineCells = cellsOf(fineLevels);
		const coarseCells = cellsOf(coarseLevels);
		this.fine = fineCells.cells;
		this.coarse = coarseCells.cells;
		const { lows } = fineLevels;
		this.cellOf = new Int32Array(scores.length);
		for (let i = 0; i < scores.length; i++)
			this.cellOf[i] = fineCells.cellOf[2 * lastAtMost(lows, scores[i]!) + labels[i]!]!;
		this.coarseOf = new Int32Array(this.fine.sizes.length);
		for (let level = 0; level < lows.length; level++) {
			const wide = lastAtMost(coarseLevels.lows, lows[level]!);
			for (let label = 0; label <= 1; label++) {
				const cell = fineCells.cellOf[2 * level + label]!;
				if (cell >= 0) this.coarseOf[cell] = coarseCells.cellOf[2 * wide + label]!;
			}
		}
	}
}

function distinctLevels(scores: ArrayLike<number>, labels: ArrayLike<number>): Levels {
	let count = 0;
	for (let i = 0; i < labels.length; i++) count += labels[i]!;
	// Sorted apart, numbers need no comparison function, which would take most of the time.
	const positive = new Float64Array(count);
	const negative = new Float64Array(scores.length - count);
	for (let i = 0, p = 0, n = 0; i < scores.length; i++) {
		if (labels[i] === 1) positive[p++] = scores[i]!;
		else negative[n++] = scores[i]!;
	}
	positive.sort();
	negative.sort();
	const [values, negatives, positives] = [0, 1, 2].map(() => new Float64Array(scores.length)) as [
		Float64Array,
		Float64Array,
		Float64Array,
	];
	let level = 0;
	for (let p = 0, n = 0; p < positive.length || n < negative.length; level++) {
		const score = Math.min(positive[p] ?? Number.POSITIVE_INFINITY, negative[n] ?? Number.POSITIVE_INFINITY);
		const [firstP, firstN] = [p, n];
		while (positive[p] === score) p++;
		while (negative[n] === score) n++;
		values[level] = score;
		positives[level] = p - firstP;
		negatives[level] = n - firstN;
	}
	const held = (array: Float64Array) => array.subarray(0, level);
	return { scores: held(values), lows: held(values), negatives: held(negatives), positives: held(positives) };
}

/** Neighbouring levels together, as long as they hold less than their rank from the nearer end divided by the resolution. */
function widened({ scores, lows, negatives, positives }: Levels, resolution: number): Levels {
	let total = 0;
	for (let i = 0; i < scores.length; i++) total += negatives[i]! + positives[i]!;
	const result: number[][] = [];
	let rank = 0;
	for (let level = 0; level < scores.length; ) {
		const width = Math.max(1, Math.floor(Math.min(rank, total - rank) / resolution));
		const first = level;
		let [sum, p, n] = [0, 0, 0];
		for (; level < scores.length && (level === first || p + n < width); level++) {
			sum += scores[level]! * (negatives[level]! + positives[level]!);
			n += negatives[level]!;
			p += positives[level]!;
		}
		// One score is itself: a sum of equal numbers need not be their multiple.
		result.push([level === first + 1 ? scores[first]! : sum / (p + n), lows[first]!, n, p]);
		rank += p + n;
	}
	const column = (i: number) => Float64Array.from(result, (row) => row[i]!);
	return { scores: column(0), lows: column(1), negatives: column(2), positives: column(3) };
}

/** Cells that hold something, and the cell of each level and label, -1 where there is none. */
function cellsOf({ scores, negatives, positives }: Levels): {
	readonly cells: PredictionCells;
	readonly cellOf: Int32Array;
} {
	const counts = [negatives, positives] as const;
	let filled = 0;
	for (const of of counts) for (const count of of) if (count > 0) filled++;
	const cells = { scores: new Float64Array(filled), labels: new Uint8Array(filled), sizes: new Float64Array(filled) };
	const cellOf = new Int32Array(2 * scores.length).fill(-1);
	let cell = 0;
	for (let level = scores.length - 1; level >= 0; level--) {
		for (let label = 0; label <= 1; label++) {
			const size = counts[label]![level]!;
			if (size === 0) continue;
			cellOf[2 * level + label] = cell;
			cells.scores[cell] = scores[level]!;
			cells.labels[cell] = label;
			cells.sizes[cell++] = size;
		}
	}
	return { cells, cellOf };
}

/** The last of ascending numbers that is at most `value`; there is one. */
export function lastAtMost(ascending: Float64Array, value: number): number {
	let [low, high] = [0, ascending.length];
	while (high - low > 1) {
		const middle = (low + high) >> 1;
		if (ascending[middle]! <= value) low = middle;
		else high = middle;
	}
	return low;
}
