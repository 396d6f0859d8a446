import { Calibration, type CalibrationBin } from './calibration.js';
import { type Metric, RankedPredictions } from './metrics.js';

/** Every number of a binary prediction, in the order of tables. */
export const binaryMetricNames = [
	'auroc',
	'averagePrecision',
	'brier',
	'expectedCalibrationError',
	'calibrationSlope',
	'calibrationIntercept',
] as const;
export type BinaryMetricName = (typeof binaryMetricNames)[number];

/** Those in which more, or less, is better: a slope or an intercept is best at one value, so a difference ranks nothing. */
export const comparedMetrics = ['auroc', 'averagePrecision', 'brier', 'expectedCalibrationError'] as const;

/** The metrics of one model's predictions at weights, which are counts of a resample or 1. */
export class BinaryMetrics {
	readonly #ranked: RankedPredictions;
	readonly #calibration: Calibration;

	/** @throws {DataError} For a probability outside [0, 1], or a label that is neither 0 nor 1. */
	constructor(probabilities: ArrayLike<number>, labels: ArrayLike<number>) {
		this.#calibration = new Calibration(probabilities, labels);
		this.#ranked = new RankedPredictions(probabilities, labels);
	}

	value(name: BinaryMetricName, weights: ArrayLike<number>): Metric {
		switch (name) {
			case 'auroc':
				return this.#ranked.auroc(weights);
			case 'averagePrecision':
				return this.#ranked.averagePrecision(weights);
			case 'brier':
				return this.#ranked.brier(weights);
			case 'expectedCalibrationError':
				return this.#calibration.expectedError(weights);
			case 'calibrationSlope':
				return this.#calibration.slope(weights);
			case 'calibrationIntercept':
				return this.#calibration.intercept(weights);
		}
	}

	calibrationCurve(weights: ArrayLike<number>): CalibrationBin[] {
		return this.#calibration.curve(weights);
	}
}
