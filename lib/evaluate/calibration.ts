import { DataError } from '../errors.js';
import type { Metric } from './metrics.js';

/** Bins of equal width over [0, 1], as scikit-learn's `calibration_curve` has them: the last one holds 1. */
const bins = 10;

/** Predictions of one bin. */
export interface CalibrationBin {
	/** Mean probability, and share of positives. */
	readonly predicted: number;
	readonly observed: number;
	/** Sum of weights. */
	readonly weight: number;
}

/** Newton's steps on a convex loss of two numbers, which has an optimum where {@link Calibration} looks for one. */
const mostSteps = 100;
/** Of the loss. The last step is taken too, after which the error is about its square. */
const tolerance = 1e-13;
/** Of an intercept's step, likewise. */
const interceptTolerance = 1e-6;
/** Steps from the usual optimum, each of which has to promise much less than the one before; else the careful way is taken. */
const fastSteps = 8;
const fastShare = 0.25;
const smallestShare = 1e-6;
/** A logit of 30 is a probability of 1 - 1e-13: larger ones say the same and overflow. */
const largestLogit = 30;

/**
 * How well probabilities agree with outcomes: the curve, the expected calibration error, and intercept and slope of a
 * logistic regression of the outcome on the logit (Cox 1958; Van Calster et al. 2019). Weights are counts of a bootstrap
 * resample, or 1. Nothing gives NaN.
 */
export class Calibration {
	readonly #probabilities: Float64Array;
	readonly #labels: Uint8Array;
	readonly #logits: Float64Array;
	readonly #ones: Float64Array;
	/** Where resamples start: what fits when every prediction counts once. */
	#usual: Fit | NoFit | undefined;
	#usualIntercept: number | undefined;

	/** @throws {DataError} For a probability outside [0, 1], or a label that is neither 0 nor 1. */
	constructor(probabilities: ArrayLike<number>, labels: ArrayLike<number>) {
		if (probabilities.length !== labels.length)
			refuse('probabilities', `must be as many as the ${labels.length} labels`, `${probabilities.length}`);
		for (let i = 0; i < probabilities.length; i++) {
			const probability = probabilities[i]!;
			if (!(probability >= 0 && probability <= 1))
				refuse('probabilities', 'must lie in [0, 1]', `${probability} at place ${i}`);
			if (labels[i] !== 0 && labels[i] !== 1) refuse('labels', 'must be 0 or 1', `${labels[i]} at place ${i}`);
		}
		this.#probabilities = Float64Array.from(probabilities);
		this.#labels = Uint8Array.from(labels);
		this.#ones = new Float64Array(labels.length).fill(1);
		this.#logits = this.#probabilities.map((p) =>
			Math.max(-largestLogit, Math.min(largestLogit, Math.log(p) - Math.log1p(-p))),
		);
	}

	/** Bins that hold predictions, in ascending order. */
	curve(weights: ArrayLike<number>): CalibrationBin[] {
		const predicted = new Float64Array(bins);
		const observed = new Float64Array(bins);
		const weight = new Float64Array(bins);
		for (let i = 0; i < this.#labels.length; i++) {
			const bin = Math.min(bins - 1, Math.floor(this.#probabilities[i]! * bins));
			predicted[bin]! += weights[i]! * this.#probabilities[i]!;
			observed[bin]! += weights[i]! * this.#labels[i]!;
			weight[bin]! += weights[i]!;
		}
		return Array.from(weight, (sum, bin) => ({
			predicted: predicted[bin]! / sum,
			observed: observed[bin]! / sum,
			weight: sum,
		})).filter((bin) => bin.weight > 0);
	}

	/** Expected calibration error: the mean gap between predicted and observed, each bin weighted by its predictions. */
	expectedError(weights: ArrayLike<number>): Metric {
		const curve = this.curve(weights);
		const total = curve.reduce((sum, { weight }) => sum + weight, 0);
		if (total === 0) return { undefinedReason: 'no samples' };
		return {
			value:
				curve.reduce((sum, { predicted, observed, weight }) => sum + weight * Math.abs(predicted - observed), 0) /
				total,
		};
	}

	/** The same with every bin counted once, which meds-evaluation calls calibration_error. */
	unweightedError(weights: ArrayLike<number>): Metric {
		const curve = this.curve(weights);
		if (curve.length === 0) return { undefinedReason: 'no samples' };
		return {
			value: curve.reduce((sum, { predicted, observed }) => sum + Math.abs(predicted - observed), 0) / curve.length,
		};
	}

	/** Slope b of logit P(y = 1) = a + b logit(p): 1 is right, below 1 the probabilities are too extreme. */
	slope(weights: ArrayLike<number>): Metric {
		const undefinedReason = this.#whyUndefined(weights, true);
		if (undefinedReason !== undefined) return { undefinedReason };
		this.#usual ??= this.#whyUndefined(this.#ones, true) === undefined ? this.#fit(this.#ones) : { loss: Number.NaN };
		const found = this.#fitFrom(this.#usual, weights) ?? this.#fit(weights);
		return found.slope === undefined ? { undefinedReason: 'no slope was found' } : { value: found.slope };
	}

	/** Newton's steps from the optimum of another weighting; undefined where they do not lead straight to this one's. */
	#fitFrom(start: Fit | NoFit, weights: ArrayLike<number>): Fit | undefined {
		if (start.slope === undefined) return undefined;
		let { intercept, slope } = start;
		let before = Number.POSITIVE_INFINITY;
		for (let step = 0; step < fastSteps; step++) {
			const { promised, da, db } = newtonStep(this.#gradient(weights, intercept, slope));
			if (!(promised <= fastShare * before)) return undefined;
			intercept -= da;
			slope -= db;
			before = promised;
			if (promised <= tolerance * start.loss) return { intercept, slope, loss: start.loss };
		}
		return undefined;
	}

	/** Newton's steps, halved where the loss rises, from the model without a slope. */
	#fit(weights: ArrayLike<number>): Fit | NoFit {
		// Its curvature no prediction of 0 or 1 makes vanish.
		const { error, curvature } = this.#gradient(weights, 0, 0);
		const prevalence = 0.5 - error / (4 * curvature);
		let [intercept, slope] = [Math.log(prevalence / (1 - prevalence)), 0];
		let loss = this.#loss(weights, intercept, slope);
		for (let step = 0; step < mostSteps; step++) {
			// Below what rounding lets the loss show, nothing is left to win.
			const { promised, da, db } = newtonStep(this.#gradient(weights, intercept, slope));
			if (!Number.isFinite(promised)) break;
			if (promised <= tolerance * loss) return { intercept: intercept - da, slope: slope - db, loss };
			let [share, next] = [1, this.#loss(weights, intercept - da, slope - db)];
			while (next > loss && share > smallestShare) {
				share /= 2;
				next = this.#loss(weights, intercept - share * da, slope - share * db);
			}
			[intercept, slope, loss] = [intercept - share * da, slope - share * db, next];
		}
		return { loss };
	}

	/** Calibration in the large: a of logit P(y = 1) = a + logit(p). 0 is right, above 0 risk is underestimated. */
	intercept(weights: ArrayLike<number>): Metric {
		const undefinedReason = this.#whyUndefined(weights, false);
		if (undefinedReason !== undefined) return { undefinedReason };
		this.#usualIntercept ??=
			this.#whyUndefined(this.#ones, false) === undefined ? this.#interceptFrom(0, this.#ones) : 0;
		return { value: this.#interceptFrom(this.#usualIntercept, weights) };
	}

	#interceptFrom(start: number, weights: ArrayLike<number>): number {
		// The sum of errors rises with a: Newton's steps, and halves of the bracket where they leave it.
		let [low, high, intercept] = [-3 * largestLogit, 3 * largestLogit, start];
		while (high - low > 1e-12 * Math.max(1, Math.abs(intercept))) {
			let [error, curvature] = [0, 0];
			for (let i = 0; i < this.#labels.length; i++) {
				const weight = weights[i]!;
				if (weight === 0) continue;
				const p = 1 / (1 + Math.exp(-(intercept + this.#logits[i]!)));
				error += weight * (p - this.#labels[i]!);
				curvature += weight * p * (1 - p);
			}
			if (error === 0) break;
			if (error > 0) high = intercept;
			else low = intercept;
			const next = intercept - error / curvature;
			const isInside = next > low && next < high;
			if (isInside && Math.abs(next - intercept) < interceptTolerance) return next;
			intercept = isInside ? next : (low + high) / 2;
		}
		return intercept;
	}

	/** First and second derivatives of the loss in intercept and slope. */
	#gradient(weights: ArrayLike<number>, intercept: number, slope: number): Gradient {
		let [error, errorX, curvature, curvatureX, curvatureXX] = [0, 0, 0, 0, 0];
		for (let i = 0; i < this.#labels.length; i++) {
			const weight = weights[i]!;
			// A third of the patients is not in a resample.
			if (weight === 0) continue;
			const x = this.#logits[i]!;
			const p = 1 / (1 + Math.exp(-(intercept + slope * x)));
			const e = weight * (p - this.#labels[i]!);
			const c = weight * p * (1 - p);
			error += e;
			errorX += e * x;
			curvature += c;
			curvatureX += c * x;
			curvatureXX += c * x * x;
		}
		return { error, errorX, curvature, curvatureX, curvatureXX };
	}

	#loss(weights: ArrayLike<number>, intercept: number, slope: number): number {
		let sum = 0;
		for (let i = 0; i < this.#labels.length; i++) {
			if (weights[i] === 0) continue;
			const margin = (this.#labels[i] === 1 ? 1 : -1) * (intercept + slope * this.#logits[i]!);
			// log(1 + exp(-margin)), without overflow.
			sum += weights[i]! * (Math.max(0, -margin) + Math.log1p(Math.exp(-Math.abs(margin))));
		}
		return sum;
	}

	#whyUndefined(weights: ArrayLike<number>, withSlope: boolean): string | undefined {
		let [positives, total] = [0, 0];
		const range = [new Range(), new Range()];
		for (let i = 0; i < this.#labels.length; i++) {
			if (weights[i]! === 0) continue;
			total += weights[i]!;
			positives += weights[i]! * this.#labels[i]!;
			range[this.#labels[i]!]!.add(this.#logits[i]!);
		}
		if (total === 0) return 'no samples';
		if (positives === 0 || positives === total)
			return `one class only: no ${positives === 0 ? 'positives' : 'negatives'}`;
		if (!withSlope) return undefined;
		const [negative, positive] = range as [Range, Range];
		const [low, high] = [Math.min(negative.low, positive.low), Math.max(negative.high, positive.high)];
		if (low === high) return 'all predictions are equal';
		// A slope without end fits best.
		if (negative.high <= positive.low || positive.high <= negative.low) return 'the predictions separate the outcomes';
		return undefined;
	}
}

/** A logistic regression on the logit. */
interface Fit {
	readonly intercept: number;
	readonly slope: number;
	/** Before the last step. */
	readonly loss: number;
}
interface NoFit {
	readonly loss: number;
	readonly slope?: never;
}

interface Gradient {
	readonly error: number;
	readonly errorX: number;
	readonly curvature: number;
	readonly curvatureX: number;
	readonly curvatureXX: number;
}

/** What is to be taken from intercept and slope; `promised` is twice what the quadratic model says that the loss falls by. */
function newtonStep({ error, errorX, curvature, curvatureX, curvatureXX }: Gradient) {
	const determinant = curvature * curvatureXX - curvatureX * curvatureX;
	const da = (curvatureXX * error - curvatureX * errorX) / determinant;
	const db = (curvature * errorX - curvatureX * error) / determinant;
	return { promised: error * da + errorX * db, da, db };
}

class Range {
	low = Number.POSITIVE_INFINITY;
	high = Number.NEGATIVE_INFINITY;

	add(value: number): void {
		this.low = Math.min(this.low, value);
		this.high = Math.max(this.high, value);
	}
}

function refuse(name: string, rule: string, value: string): never {
	throw new DataError('calibration', { file: name, rule, value });
}
