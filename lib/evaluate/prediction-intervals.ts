import { type BinaryMetricName, BinaryMetrics, binaryMetricNames, comparedMetrics } from './binary-metrics.js';
import type { CalibrationBin } from './calibration.js';
import type { Estimate } from './evaluation-file.js';
import { type BootstrapOptions, bootstrapCells, type CellStatistics, difference, type Statistic } from './intervals.js';
import type { Metric } from './metrics.js';
import { GatheredPredictions, type PredictionCells } from './prediction-cells.js';

/**
 * How finely resamples read predictions: ranks to a thousandth from either end; for what is fitted anew in every resample and
 * says nothing about single ranks, to a sixteenth.
 */
const resolution = { fine: 1024, coarse: 16 } as const;
const fittedMetrics = ['calibrationSlope', 'calibrationIntercept'] as const satisfies readonly BinaryMetricName[];
const rankedMetrics = binaryMetricNames.filter((name) => !(fittedMetrics as readonly string[]).includes(name));
const ordered = [...rankedMetrics, ...fittedMetrics];

/** Every metric of one model, with its interval. */
export interface PredictionEstimates {
	readonly metrics: Readonly<Record<BinaryMetricName, Estimate>>;
	readonly curve: readonly CalibrationBin[];
}

/** a - b in one metric. */
export interface MetricDifference {
	/** Positions of the models. */
	readonly a: number;
	readonly b: number;
	readonly metric: (typeof comparedMetrics)[number];
	readonly difference: Estimate;
}

/**
 * Every metric of several models on the same samples, with patient-level intervals and paired differences. Values are exact;
 * resamples of many samples read neighbouring scores as one.
 *
 * @param patients - (samples,)
 * @param truth - (samples,) 0 or 1.
 * @param models - (samples,) probabilities of each.
 * @param pairs - Which models are compared.
 * @param tooFew - Why the samples cannot carry a metric: then none is defined.
 * @throws {DataError} For a probability that is none. {AbortedError}
 */
export async function predictionEstimates(
	patients: ArrayLike<bigint>,
	truth: ArrayLike<number>,
	models: readonly ArrayLike<number>[],
	pairs: readonly (readonly [a: number, b: number])[],
	options: BootstrapOptions,
	tooFew?: string,
): Promise<{ readonly models: PredictionEstimates[]; readonly differences: MetricDifference[] }> {
	const groups: CellStatistics[] = [];
	const found: Metric[] = [];
	const curves: CalibrationBin[][] = [];
	for (const probabilities of models) {
		const { exact, fine, coarse, cellOf, coarseOf } = new GatheredPredictions(probabilities, truth, resolution);
		const whole = new BinaryMetrics(exact.scores, exact.labels);
		curves.push(whole.calibrationCurve(exact.sizes));
		for (const name of ordered)
			found.push(tooFew === undefined ? whole.value(name, exact.sizes) : { undefinedReason: tooFew });
		const statistics = (cells: PredictionCells, names: readonly BinaryMetricName[]) => {
			const metrics = new BinaryMetrics(cells.scores, cells.labels);
			return names.map(
				(name): Statistic =>
					(weights) =>
						metrics.value(name, weights),
			);
		};
		groups.push({
			cellOf,
			cells: fine.sizes.length,
			statistics: statistics(fine, rankedMetrics),
			coarser: { cellOf: coarseOf, cells: coarse.sizes.length, statistics: statistics(coarse, fittedMetrics) },
		});
	}
	const place = (model: number, name: BinaryMetricName) => model * ordered.length + ordered.indexOf(name);
	const compared = pairs.flatMap(([a, b]) => comparedMetrics.map((metric) => ({ a, b, metric })));
	const { estimates, contrasts } = await bootstrapCells(
		patients,
		groups,
		found,
		compared.map(({ a, b, metric }) => difference(place(a, metric), place(b, metric))),
		// Without a value there is nothing to resample.
		found.every((metric) => !('value' in metric)) ? { ...options, draws: 0 } : options,
	);
	return {
		models: models.map((_, i) => ({
			metrics: Object.fromEntries(
				binaryMetricNames.map((name) => [name, estimates[place(i, name)]!]),
			) as PredictionEstimates['metrics'],
			curve: curves[i]!,
		})),
		differences: compared.map((pair, i) => ({ ...pair, difference: contrasts[i]! })),
	};
}
