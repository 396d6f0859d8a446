import { normalQuantile } from '../../random.js';

/**
 * Bins as stretches of a standard normal scale: ordered, and as wide as they were frequent. A linear predictor works on the
 * scale and gives back a distribution over bins.
 */
export class NormalBins {
	/** (bins,) mean of the scale within each bin. */
	readonly scores: Float64Array;
	/** Variance of the scale within bins, which the scores do not show. */
	readonly withinVariance: number;
	/** (bins + 1,) ends of the bins; the outer ones are infinite. */
	readonly #edges: Float64Array;

	/** @param counts - (bins,) how often each bin was seen. */
	constructor(counts: Float64Array) {
		const bins = counts.length;
		// Half a count: a bin that was never seen keeps a stretch.
		const total = counts.reduce((sum, count) => sum + count + 0.5, 0);
		this.#edges = new Float64Array(bins + 1).fill(Number.POSITIVE_INFINITY);
		this.#edges[0] = Number.NEGATIVE_INFINITY;
		this.scores = new Float64Array(bins);
		let below = 0;
		let between = 0;
		for (let bin = 0; bin < bins; bin++) {
			const share = (counts[bin]! + 0.5) / total;
			below += share;
			if (bin < bins - 1) this.#edges[bin + 1] = quantile(below);
			this.scores[bin] = (density(this.#edges[bin]!) - density(this.#edges[bin + 1]!)) / share;
			between += share * this.scores[bin]! ** 2;
		}
		this.withinVariance = Math.max(0, 1 - between);
	}

	/** Probability of a bin under a normal distribution on the scale. */
	probability(bin: number, mean: number, deviation: number): number {
		const low = (this.#edges[bin]! - mean) / deviation;
		const high = (this.#edges[bin + 1]! - mean) / deviation;
		// Both ends in the upper tail: differences are taken where they do not cancel.
		return low > 0 ? normalShare(-low) - normalShare(-high) : normalShare(high) - normalShare(low);
	}
}

function quantile(p: number): number {
	return p <= 0.5 ? normalQuantile(p) : -normalQuantile(1 - p);
}

function density(x: number): number {
	return Number.isFinite(x) ? Math.exp(-0.5 * x * x) / Math.sqrt(2 * Math.PI) : 0;
}

/** Standard normal distribution function; relative error below 1.2e-7 (erfc of Numerical Recipes, 6.2). @internal */
export function normalShare(x: number): number {
	if (!Number.isFinite(x)) return x > 0 ? 1 : 0;
	const z = Math.abs(x) / Math.SQRT2;
	const t = 1 / (1 + 0.5 * z);
	const series = [
		0.17087277, -0.82215223, 1.48851587, -1.13520398, 0.27886807, -0.18628806, 0.09678418, 0.37409196, 1.00002368,
		-1.26551223,
	].reduce((sum, coefficient) => sum * t + coefficient, 0);
	const upper = 0.5 * t * Math.exp(-z * z + series);
	return x > 0 ? 1 - upper : upper;
}
