import { Calibration } from './calibration.js';
import { isDefined, type Metric, RankedPredictions } from './metrics.js';

/** The metrics of the package meds-evaluation, under its names; null where a metric is undefined, and never NaN. */
export interface MedsEvaluationMetrics {
	readonly binary_accuracy: number | null;
	readonly f1_score: number | null;
	readonly roc_auc_score: number | null;
	readonly average_precision_score: number | null;
	/** The mean gap of ten bins, each counted once: not the expected calibration error. */
	readonly calibration_error: number | null;
	readonly brier_score: number | null;
}

/** Above it a prediction is yes. */
export const decisionThreshold = 0.5;

/**
 * Both blocks of meds-evaluation's result. Its `subjects_equally_weighted` draws four samples of each subject; here each
 * sample weighs one over the number of its subject's samples, which is what those draws estimate.
 */
export function medsEvaluation(
	probabilities: ArrayLike<number>,
	labels: ArrayLike<number>,
	patients: readonly bigint[],
): Readonly<Record<'samples_equally_weighted' | 'subjects_equally_weighted', MedsEvaluationMetrics>> {
	const samplesOf = new Map<bigint, number>();
	for (const patient of patients) samplesOf.set(patient, (samplesOf.get(patient) ?? 0) + 1);
	const perSubject = Float64Array.from(patients, (patient) => 1 / samplesOf.get(patient)!);
	const ranked = new RankedPredictions(probabilities, labels);
	const calibration = new Calibration(probabilities, labels);
	const block = (weights: Float64Array): MedsEvaluationMetrics => ({
		...decisions(probabilities, labels, weights),
		roc_auc_score: orNull(ranked.auroc(weights)),
		average_precision_score: orNull(ranked.averagePrecision(weights)),
		calibration_error: orNull(calibration.unweightedError(weights)),
		brier_score: orNull(ranked.brier(weights)),
	});
	return {
		samples_equally_weighted: block(new Float64Array(patients.length).fill(1)),
		subjects_equally_weighted: block(perSubject),
	};
}

function orNull(metric: Metric): number | null {
	return isDefined(metric) ? metric.value : null;
}

function decisions(probabilities: ArrayLike<number>, labels: ArrayLike<number>, weights: Float64Array) {
	let [right, total, truePositives, positives, predicted] = [0, 0, 0, 0, 0];
	for (const [i, weight] of weights.entries()) {
		const [yes, label] = [probabilities[i]! > decisionThreshold ? 1 : 0, labels[i]!];
		total += weight;
		if (yes === label) right += weight;
		truePositives += weight * yes * label;
		positives += weight * label;
		predicted += weight * yes;
	}
	return {
		binary_accuracy: total === 0 ? null : right / total,
		f1_score: positives + predicted === 0 ? null : (2 * truePositives) / (positives + predicted),
	};
}
