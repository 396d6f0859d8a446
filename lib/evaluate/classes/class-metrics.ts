import { BinaryMetrics } from '../binary-metrics.js';
import type { Estimate } from '../estimate.js';
import { type BootstrapOptions, bootstrapCells, type CellStatistics, type Contrast, difference } from '../intervals.js';
import type { Metric } from '../metrics.js';
import { GatheredPredictions, lastAtMost } from '../prediction-cells.js';
import { type comparedClassMetrics, comparedOneClassMetrics } from './class-file.js';

/** Below this many patients of a class, resamples hardly differ. */
const minPatientsPerClass = 5;
/** How finely resamples read predictions: ranks to a thousandth from either end. */
const resolution = { fine: 1024, coarse: 16 } as const;
/** Resamples read neighbouring losses as one when there are more. */
const lossLevels = 4096;

/** Every number of predictions of classes. */
export interface ClassEstimates {
	/** Share of samples whose likeliest class is theirs. */
	readonly accuracy: Estimate;
	/** Mean of -log of the probability of the true class. */
	readonly logLoss: Estimate;
	/** Mean over classes of the AUROC of one against all others. */
	readonly macroAuroc: Estimate;
	/** Of each class, against all others. */
	readonly classes: readonly { readonly auroc: Estimate; readonly averagePrecision: Estimate }[];
}

/** a - b in one metric; of one class against all others where `place` is not null. */
export type ClassContrast = {
	/** Positions of the models. */
	readonly a: number;
	readonly b: number;
	readonly difference: Estimate;
} & (
	| { readonly place: null; readonly metric: (typeof comparedClassMetrics)[number] }
	| { readonly place: number; readonly metric: (typeof comparedOneClassMetrics)[number] }
);

/** What models are read on. */
export interface ClassOutcomes {
	/** (samples,) */
	readonly patients: readonly bigint[];
	/** (samples,) place of the class of each. */
	readonly truth: readonly number[];
	readonly classes: readonly string[];
}

/**
 * Metrics of predicted classes of several models on the same samples, with patient-level intervals and paired differences. Values
 * are exact; resamples of many samples read neighbouring scores as one.
 *
 * @param models - (samples x classes) logarithms of probabilities of each.
 * @throws {AbortedError}
 */
export async function classEstimates(
	{ patients, truth, classes }: ClassOutcomes,
	models: readonly Float64Array[],
	pairs: readonly (readonly [a: number, b: number])[],
	options: BootstrapOptions,
): Promise<{ readonly models: ClassEstimates[]; readonly differences: ClassContrast[] }> {
	const count = classes.length;
	const tooFew = classes.map((name, k) => tooFewOf(name, new Set(patients.filter((_, row) => truth[row] === k)).size));
	const groups: CellStatistics[] = [];
	const found: Metric[] = [];
	for (const logs of models) {
		const right = truth.map((one, row) => (likeliest(logs, count, row) === one ? 1 : 0));
		add(groups, found, meanOf(right));
		add(groups, found, meanOf(truth.map((one, row) => -logs[row * count + one]!)));
		for (const k of classes.keys()) {
			const scores = truth.map((_, row) => Math.exp(logs[row * count + k]!));
			const labels = truth.map((one) => (one === k ? 1 : 0));
			add(groups, found, oneAgainstAll(scores, labels, tooFew[k]));
		}
	}
	const perModel = 2 + comparedOneClassMetrics.length * count;
	const at = (model: number, metric: (typeof comparedOneClassMetrics)[number], k: number) =>
		model * perModel + 2 + comparedOneClassMetrics.length * k + comparedOneClassMetrics.indexOf(metric);
	const macro = (model: number, weight = 1): Contrast =>
		classes.map((_, k) => ({ statistic: at(model, 'auroc', k), weight: weight / count }));
	const compared = pairs.flatMap(([a, b]): (Omit<ClassContrast, 'difference'> & { readonly contrast: Contrast })[] => [
		{ a, b, place: null, metric: 'accuracy', contrast: difference(a * perModel, b * perModel) },
		{ a, b, place: null, metric: 'logLoss', contrast: difference(a * perModel + 1, b * perModel + 1) },
		{ a, b, place: null, metric: 'macroAuroc', contrast: [...macro(a), ...macro(b, -1)] },
		...classes.flatMap((_, place) =>
			comparedOneClassMetrics.map((metric) => ({
				...{ a, b, place, metric },
				contrast: difference(at(a, metric, place), at(b, metric, place)),
			})),
		),
	]);
	const { estimates, contrasts } = await bootstrapCells(
		patients,
		groups,
		found,
		[...models.map((_, model) => macro(model)), ...compared.map(({ contrast }) => contrast)],
		// Without a value there is nothing to resample.
		found.every((metric) => !('value' in metric)) ? { ...options, draws: 0 } : options,
	);
	return {
		models: models.map((_, model) => ({
			accuracy: estimates[model * perModel]!,
			logLoss: estimates[model * perModel + 1]!,
			macroAuroc: contrasts[model]!,
			classes: classes.map((__, k) => ({
				auroc: estimates[at(model, 'auroc', k)]!,
				averagePrecision: estimates[at(model, 'averagePrecision', k)]!,
			})),
		})),
		differences: compared.map(
			({ contrast: _, ...pair }, i) => ({ ...pair, difference: contrasts[models.length + i]! }) as ClassContrast,
		),
	};
}

/** The numbers of a model without a probe. */
export function undefinedClassEstimates(undefinedReason: string, classes: readonly string[]): ClassEstimates {
	const none: Estimate = { value: null, low: null, high: null, undefinedReason };
	return {
		accuracy: none,
		logLoss: none,
		macroAuroc: none,
		classes: classes.map(() => ({ auroc: none, averagePrecision: none })),
	};
}

/** Place of the likeliest class of a row; the first of equals. @param logs - (rows x classes) */
export function likeliest(logs: Float64Array, count: number, row: number): number {
	let best = 0;
	for (let k = 1; k < count; k++) if (logs[row * count + k]! > logs[row * count + best]!) best = k;
	return best;
}

/** Statistics on one division into cells, with their values on the samples. */
type Read = readonly [CellStatistics, readonly Metric[]];

function add(groups: CellStatistics[], found: Metric[], [group, values]: Read): void {
	groups.push(group);
	found.push(...values);
}

/** The mean of some numbers; cells hold equal ones, or neighbours where there are many. */
function meanOf(values: readonly number[]): Read {
	const order = Float64Array.from(values).sort();
	const levels = new Float64Array(new Set(order));
	const width = Math.max(1, Math.ceil(order.length / lossLevels));
	const lows =
		levels.length <= lossLevels ? levels : order.filter((value, i) => i % width === 0 && order[i - 1] !== value);
	const cellOf = Int32Array.from(values, (value) => lastAtMost(lows, value));
	const [sums, sizes] = [new Float64Array(lows.length), new Float64Array(lows.length)];
	for (const [i, value] of values.entries()) {
		sums[cellOf[i]!]! += value;
		sizes[cellOf[i]!]!++;
	}
	const means = sums.map((sum, cell) => sum / sizes[cell]!);
	const statistic = (weights: Float64Array): Metric => {
		let [sum, total] = [0, 0];
		for (const [cell, mean] of means.entries()) {
			sum += weights[cell]! * mean;
			total += weights[cell]!;
		}
		return total > 0 ? { value: sum / total } : { undefinedReason: 'no samples in held-out' };
	};
	return [{ cellOf, cells: lows.length, statistics: [statistic] }, [statistic(sizes)]];
}

/** AUROC and average precision of one class against all others. */
function oneAgainstAll(scores: readonly number[], labels: readonly number[], tooFew: string | undefined): Read {
	const { exact, fine, cellOf } = new GatheredPredictions(scores, labels, resolution);
	const whole = new BinaryMetrics(exact.scores, exact.labels);
	const cells = new BinaryMetrics(fine.scores, fine.labels);
	return [
		{
			cellOf,
			cells: fine.sizes.length,
			statistics: comparedOneClassMetrics.map((name) => (weights) => cells.value(name, weights)),
		},
		comparedOneClassMetrics.map((name) =>
			tooFew === undefined ? whole.value(name, exact.sizes) : { undefinedReason: tooFew },
		),
	];
}

function tooFewOf(name: string, patients: number): string | undefined {
	if (patients >= minPatientsPerClass) return undefined;
	return patients === 0
		? `no samples of class ${name} in held-out`
		: `${patients} held-out patient${patients === 1 ? '' : 's'} of class ${name}, at least ${minPatientsPerClass} are needed`;
}
