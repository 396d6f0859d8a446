import { DataError } from '../errors.js';

/**
 * Weighted metrics of binary predictions and of regressions. Each gives a number or says why it is undefined; none gives
 * NaN. Weights are counts of a bootstrap resample, or 1.
 */
export type Metric = { readonly value: number } | { readonly undefinedReason: string };

const undefinedMetric = (undefinedReason: string): Metric => ({ undefinedReason });

export function isDefined(metric: Metric): metric is { readonly value: number } {
	return 'value' in metric;
}

export function definedValue(metric: Metric): number | undefined {
	return isDefined(metric) ? metric.value : undefined;
}

/** Predictions in descending order of score, sorted once and read for every resample. */
export class RankedPredictions {
	/** (samples,) 0 or 1, by descending score. */
	readonly labels: Uint8Array;
	/** (samples,) descending. */
	readonly scores: Float64Array;
	/** (samples,) where each ranked sample was in the caller's order. */
	readonly order: Int32Array;

	/** @throws {DataError} For a score that is not finite, or a label that is neither 0 nor 1. */
	constructor(scores: ArrayLike<number>, labels: ArrayLike<number>) {
		requirePredictions(scores, labels);
		const count = scores.length;
		this.order = new Int32Array(count);
		for (let i = 0; i < count; i++) this.order[i] = i;
		if (!isDescending(scores)) this.order.sort((a, b) => scores[b]! - scores[a]!);
		this.scores = new Float64Array(count);
		this.labels = new Uint8Array(count);
		for (let rank = 0; rank < count; rank++) {
			const sample = this.order[rank]!;
			this.scores[rank] = scores[sample]!;
			this.labels[rank] = labels[sample]!;
		}
	}

	/**
	 * Area under the ROC curve: the chance that a positive scores above a negative, ties counted half.
	 *
	 * @param weights - (samples,) in the caller's order.
	 */
	auroc(weights: ArrayLike<number>): Metric {
		let positives = 0;
		let negatives = 0;
		let pairs = 0;
		this.#forEachTie(weights, (tiePositives, tieNegatives) => {
			pairs += tieNegatives * (positives + tiePositives / 2);
			positives += tiePositives;
			negatives += tieNegatives;
		});
		return positives > 0 && negatives > 0 ? { value: pairs / (positives * negatives) } : oneClass(positives, negatives);
	}

	/** Average precision, step-wise: sum over thresholds of (recall_k - recall_{k-1}) precision_k. */
	averagePrecision(weights: ArrayLike<number>): Metric {
		let positives = 0;
		let seen = 0;
		let sum = 0;
		this.#forEachTie(weights, (tiePositives, tieNegatives) => {
			positives += tiePositives;
			seen += tiePositives + tieNegatives;
			if (seen > 0) sum += (tiePositives * positives) / seen;
		});
		return positives > 0 && positives < seen ? { value: sum / positives } : oneClass(positives, seen - positives);
	}

	/** Mean squared difference of probability and outcome. */
	brier(weights: ArrayLike<number>): Metric {
		let sum = 0;
		let total = 0;
		for (let rank = 0; rank < this.scores.length; rank++) {
			const weight = weights[this.order[rank]!]!;
			const gap = this.scores[rank]! - this.labels[rank]!;
			sum += weight * gap * gap;
			total += weight;
		}
		return total > 0 ? { value: sum / total } : undefinedMetric('no samples');
	}

	#forEachTie(weights: ArrayLike<number>, visit: (positives: number, negatives: number) => void): void {
		const { scores, labels, order } = this;
		for (let rank = 0; rank < scores.length; ) {
			const score = scores[rank]!;
			let positives = 0;
			let negatives = 0;
			// A first score is always its own tie, so that the walk ends whatever the scores are.
			const start = rank;
			for (; rank < scores.length && (rank === start || scores[rank] === score); rank++) {
				const weight = weights[order[rank]!]!;
				if (labels[rank] === 1) positives += weight;
				else negatives += weight;
			}
			visit(positives, negatives);
		}
	}
}

/** @throws {DataError} For a score that is not finite, or a label that is neither 0 nor 1. */
export function requirePredictions(scores: ArrayLike<number>, labels: ArrayLike<number>): void {
	if (scores.length !== labels.length)
		refuse('scores', `must be as many as the ${labels.length} labels`, `${scores.length}`);
	for (let i = 0; i < scores.length; i++) {
		if (!Number.isFinite(scores[i]!)) refuse('scores', 'must be finite', `${scores[i]} at place ${i}`);
		if (labels[i] !== 0 && labels[i] !== 1) refuse('labels', 'must be 0 or 1', `${labels[i]} at place ${i}`);
	}
}

function isDescending(scores: ArrayLike<number>): boolean {
	for (let i = 1; i < scores.length; i++) if (scores[i]! > scores[i - 1]!) return false;
	return true;
}

function refuse(name: string, rule: string, value: string): never {
	throw new DataError('metrics', { file: name, rule, value });
}

function oneClass(positives: number, negatives: number): Metric {
	if (positives + negatives === 0) return undefinedMetric('no samples');
	return undefinedMetric(positives === 0 ? 'one class only: no positives' : 'one class only: no negatives');
}

/**
 * Coefficient of determination over one or several outputs: 1 - sum of squared errors / sum of squares around the mean,
 * both summed over outputs (variance-weighted).
 *
 * @param predicted - (rows x outputs) row-major, as is `truth`.
 */
export function rSquared(
	predicted: ArrayLike<number>,
	truth: ArrayLike<number>,
	rows: number,
	outputs: number,
	weights: ArrayLike<number>,
): Metric {
	let error = 0;
	let spread = 0;
	for (let output = 0; output < outputs; output++) {
		let total = 0;
		let mean = 0;
		for (let row = 0; row < rows; row++) {
			total += weights[row]!;
			mean += weights[row]! * truth[row * outputs + output]!;
		}
		if (total === 0) return undefinedMetric('no samples');
		mean /= total;
		for (let row = 0; row < rows; row++) {
			const value = truth[row * outputs + output]!;
			error += weights[row]! * (predicted[row * outputs + output]! - value) ** 2;
			spread += weights[row]! * (value - mean) ** 2;
		}
	}
	if (!Number.isFinite(error + spread)) refuse('predicted and truth', 'must be finite', `a squared error of ${error}`);
	return spread > 0 ? { value: 1 - error / spread } : undefinedMetric('constant target');
}

/** Mean of the absolute gaps of predictions. @param weights - (rows,) */
export function meanAbsoluteError(
	predicted: ArrayLike<number>,
	truth: ArrayLike<number>,
	weights: ArrayLike<number>,
): Metric {
	return weightedMean(weights, (row) => Math.abs(predicted[row]! - truth[row]!));
}

/** Mean of the squared gaps of predictions. @param weights - (rows,) */
export function meanSquaredError(
	predicted: ArrayLike<number>,
	truth: ArrayLike<number>,
	weights: ArrayLike<number>,
): Metric {
	return weightedMean(weights, (row) => (predicted[row]! - truth[row]!) ** 2);
}

function weightedMean(weights: ArrayLike<number>, of: (row: number) => number): Metric {
	let [sum, total] = [0, 0];
	for (let row = 0; row < weights.length; row++) {
		sum += weights[row]! * of(row);
		total += weights[row]!;
	}
	if (total === 0) return undefinedMetric('no samples');
	if (!Number.isFinite(sum)) refuse('predicted and truth', 'must be finite', `an error of ${sum}`);
	return { value: sum / total };
}
