import { nativeAddon, nativeCall } from '../native.js';
import type { LabelRow } from '../tasks/read.js';
import { sampleKey } from '../tasks/read.js';
import type { IndexDate, Split } from '../types.js';
import { type FeatureTable, linear, Standardiser, selectRows } from './features.js';
import { definedValue, RankedPredictions } from './metrics.js';
import { chosenPenalty } from './penalties.js';

/** Strengths that are tried; the one with the best AUROC on tuning is taken. */
const l2Grid = [1e-4, 1e-3, 1e-2, 1e-1, 1, 10] as const;
/** Taken when tuning cannot tell them apart: it has no patients of one class. */
const l2Default = 0.1;

/** Below this many patients of a class, resamples hardly differ: a narrow interval would be an illusion. */
const minPatientsPerClass = 5;

export interface FittedProbe {
	readonly l2: number;
	readonly nTrainSamples: number;
	readonly nTrainPositives: number;
	/** (held-out labels,) probabilities. */
	readonly probabilities: Float64Array;
	/** (columns + 1,) of standardised features, the intercept last. */
	readonly weights: Float64Array;
	readonly standardiser: Standardiser;
}

/** Position of each sample of a table. */
export function rowsByKey(table: FeatureTable): Map<string, number> {
	return new Map(table.samples.map((sample, row) => [sampleKey(sample), row]));
}

/**
 * Logistic probe on frozen features: standardised on train, L2 chosen on tuning, read on held-out.
 *
 * @param labels - By split; every one has a row in the table.
 * @returns Undefined with the reason when train lacks a class.
 */
export async function fitProbe(
	table: FeatureTable,
	rowOf: ReadonlyMap<string, number>,
	labels: Readonly<Record<Split, readonly LabelRow[]>>,
): Promise<
	FittedProbe | { readonly undefinedReason: string; readonly nTrainSamples: number; readonly nTrainPositives: number }
> {
	const rowsOf = (split: Split) => labels[split].map((label) => rowOf.get(sampleKey(label))!);
	const valuesOf = (split: Split) => Uint8Array.from(labels[split], ({ value }) => (value ? 1 : 0));
	const train = selectRows(table, rowsOf('train'));
	const trainLabels = valuesOf('train');
	const nTrainSamples = trainLabels.length;
	const nTrainPositives = trainLabels.reduce((sum, label) => sum + label, 0);
	if (nTrainPositives === 0 || nTrainPositives === nTrainSamples) {
		return {
			undefinedReason:
				nTrainSamples === 0
					? 'no samples in train'
					: `one class only in train (${nTrainPositives} of ${nTrainSamples} positive)`,
			nTrainSamples,
			nTrainPositives,
		};
	}
	const standardiser = new Standardiser(train, table.columns);
	const { weights, converged } = await nativeCall(() =>
		nativeAddon().fitLogistic({
			features: standardiser.apply(train),
			rows: nTrainSamples,
			columns: table.columns,
			labels: trainLabels,
			l2: Float64Array.from(l2Grid),
		}),
	);
	const solution = (i: number) => weights.subarray(i * (table.columns + 1), (i + 1) * (table.columns + 1));
	const tuning = standardiser.apply(selectRows(table, rowsOf('tuning')));
	const tuningLabels = valuesOf('tuning');
	const ones = new Float64Array(tuningLabels.length).fill(1);
	const best = chosenPenalty('logistic', { l2: l2Grid, otherwise: l2Default, converged }, (i) =>
		definedValue(new RankedPredictions(linear(tuning, table.columns, solution(i)), tuningLabels).auroc(ones)),
	);
	const chosen = { weights: Float64Array.from(solution(best)), standardiser };
	const probabilities = probabilitiesOf(chosen, table, rowsOf('held_out'));
	return { l2: l2Grid[best]!, nTrainSamples, nTrainPositives, probabilities, ...chosen };
}

/** What a fitted probe says of rows of a table. */
export function probabilitiesOf(
	{ weights, standardiser }: Pick<FittedProbe, 'weights' | 'standardiser'>,
	table: FeatureTable,
	rows: readonly number[],
): Float64Array {
	const margins = linear(standardiser.apply(selectRows(table, rows)), table.columns, weights);
	return margins.map((margin) => 1 / (1 + Math.exp(-margin)));
}

/** Why held-out samples of no classes cannot carry a metric; undefined when they can. */
export function tooFewHeldOut(samples: readonly IndexDate[]): string | undefined {
	const patients = new Set(samples.map(({ subjectId }) => subjectId)).size;
	if (patients === 0) return 'no samples in held-out';
	if (patients >= minPatientsPerClass) return undefined;
	return `${patients} held-out patient${patients === 1 ? '' : 's'}, at least ${minPatientsPerClass} are needed`;
}

/** Why a held-out set cannot carry a metric; undefined when it can. */
export function tooFewPatients(labels: readonly LabelRow[]): string | undefined {
	if (labels.length === 0) return 'no samples in held-out';
	const patientsWith = (value: boolean) =>
		new Set(labels.filter((label) => label.value === value).map(({ subjectId }) => subjectId)).size;
	return tooFewOf(patientsWith(true), patientsWith(false));
}

/** The same by the numbers of patients who have a sample of each class. */
export function tooFewOf(withPositive: number, withNegative: number): string | undefined {
	for (const [patients, name] of [
		[withPositive, 'positive'],
		[withNegative, 'negative'],
	] as const) {
		if (patients === 0) return `one class only: no ${name} samples in held-out`;
		if (patients < minPatientsPerClass) {
			return `${patients} held-out patient${patients === 1 ? '' : 's'} with a ${name} sample, at least ${minPatientsPerClass} are needed`;
		}
	}
	return undefined;
}
