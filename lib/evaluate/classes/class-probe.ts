import { nativeAddon, nativeCall } from '../../native.js';
import type { ClassLabelRow } from '../../tasks/class-labels.js';
import type { Split } from '../../types.js';
import { type FeatureTable, linear, Standardiser, selectRows } from '../features.js';
import { chosenPenalty } from '../penalties.js';
import { rowsOf } from '../samples.js';
import type { ClassSamples } from './class-samples.js';

/** Strengths that are tried; the one with the least log-loss on tuning is taken. */
const l2Grid = [1e-4, 1e-3, 1e-2, 1e-1, 1, 10] as const;
/** Taken when tuning has no samples. */
const l2Default = 0.1;

export interface FittedClassProbe {
	readonly l2: number;
	/** Those of train, in the order of the weights. */
	readonly classes: readonly string[];
	/** (classes x (columns + 1)) of standardised features, the intercept last. */
	readonly weights: Float64Array;
	readonly standardiser: Standardiser;
}

/** What a model says of the held-out samples. */
export interface ClassScores {
	/** Null where no linear probe was fitted. */
	readonly l2: number | null;
	/** (held-out samples x classes) logarithms of probabilities. */
	readonly logs: Float64Array;
}

export type ClassReading = ClassScores | { readonly undefinedReason: string };

/** Why classes cannot be read; undefined when they can. */
export function tooFewClasses({ labels, classes }: Pick<ClassSamples, 'labels' | 'classes'>): string | undefined {
	if (labels.train.length === 0) return 'no samples in train';
	if (classes.length < 2) return `one class only in train (${classes[0]} in all ${labels.train.length} samples)`;
	return labels.held_out.length === 0 ? 'no samples in held-out' : undefined;
}

/** The probe of one model for some samples. @throws {NativeError} */
export async function readClasses(
	table: FeatureTable,
	rowOf: ReadonlyMap<string, number>,
	samples: ClassSamples,
): Promise<ClassReading> {
	const undefinedReason = tooFewClasses(samples);
	if (undefinedReason !== undefined) return { undefinedReason };
	const probe = await fitClassProbe(table, rowOf, samples.labels, samples.classes);
	return { l2: probe.l2, logs: classLogProbabilities(probe, table, rowsOf(rowOf, samples.labels.held_out)) };
}

/**
 * Multinomial logistic probe on frozen features: standardised on train, L2 chosen on tuning.
 *
 * @param labels - By split; every one has a row in the table and a class of train.
 * @param classes - Of train, two or more.
 * @throws {NativeError}
 */
export async function fitClassProbe(
	table: FeatureTable,
	rowOf: ReadonlyMap<string, number>,
	labels: Readonly<Record<Split, readonly ClassLabelRow[]>>,
	classes: readonly string[],
): Promise<FittedClassProbe> {
	const train = selectRows(table, rowsOf(rowOf, labels.train));
	const standardiser = new Standardiser(train, table.columns);
	const { weights, converged } = await nativeCall(() =>
		nativeAddon().fitMultinomial({
			features: standardiser.apply(train),
			rows: labels.train.length,
			columns: table.columns,
			labels: Int32Array.from(labels.train, ({ value }) => classes.indexOf(value)),
			classes: classes.length,
			weights: new Float64Array(),
			l2: Float64Array.from(l2Grid),
		}),
	);
	const size = classes.length * (table.columns + 1);
	const probeOf = (i: number): FittedClassProbe => ({
		l2: l2Grid[i]!,
		classes,
		weights: weights.slice(i * size, (i + 1) * size),
		standardiser,
	});
	const truth = labels.tuning.map(({ value }) => classes.indexOf(value));
	const best = chosenPenalty('multinomial', { l2: l2Grid, otherwise: l2Default, converged }, (i) => {
		if (truth.length === 0) return undefined;
		const logs = classLogProbabilities(probeOf(i), table, rowsOf(rowOf, labels.tuning));
		return truth.reduce((sum, one, row) => sum + logs[row * classes.length + one]!, 0) / truth.length;
	});
	return probeOf(best);
}

/** Logarithms of what a fitted probe says of rows of a table, (rows x classes). */
export function classLogProbabilities(
	{ weights, standardiser, classes }: FittedClassProbe,
	table: FeatureTable,
	rows: readonly number[],
): Float64Array {
	const features = standardiser.apply(selectRows(table, rows));
	const width = table.columns + 1;
	const scores = classes.map((_, k) => linear(features, table.columns, weights.subarray(k * width, (k + 1) * width)));
	const result = new Float64Array(rows.length * classes.length);
	for (let row = 0; row < rows.length; row++) {
		const highest = Math.max(...scores.map((score) => score[row]!));
		const sum = scores.reduce((total, score) => total + Math.exp(score[row]! - highest), 0);
		for (const [k, score] of scores.entries()) result[row * classes.length + k] = score[row]! - highest - Math.log(sum);
	}
	return result;
}
