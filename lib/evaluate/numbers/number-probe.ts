import { nativeAddon, nativeCall } from '../../native.js';
import type { NumberLabelRow } from '../../tasks/number-labels.js';
import type { Split } from '../../types.js';
import { type FeatureTable, linear, Standardiser, selectRows } from '../features.js';
import { definedValue, rSquared } from '../metrics.js';
import { chosenPenalty } from '../penalties.js';
import { rowsOf } from '../samples.js';

/** Strengths that are tried; the one with the best R² on tuning is taken. */
const l2Grid = [1e-4, 1e-3, 1e-2, 1e-1, 1, 10] as const;
/** Taken when tuning cannot tell them apart. */
const l2Default = 0.1;

export interface FittedNumberProbe {
	readonly l2: number;
	/** (columns + 1,) of standardised features, in the unit of the numbers; the intercept last. */
	readonly weights: Float64Array;
	readonly standardiser: Standardiser;
}

/**
 * Ridge regression on frozen features: standardised on train, L2 chosen on tuning.
 *
 * @param labels - By split; every one has a row in the table. Two numbers at least in train.
 * @throws {NativeError}
 */
export async function fitNumberProbe(
	table: FeatureTable,
	rowOf: ReadonlyMap<string, number>,
	labels: Readonly<Record<Split, readonly NumberLabelRow[]>>,
): Promise<FittedNumberProbe> {
	const train = selectRows(table, rowsOf(rowOf, labels.train));
	const standardiser = new Standardiser(train, table.columns);
	// The core takes float32: numbers of one large magnitude still differ when their mean is taken away first.
	const { mean, deviation } = momentsOf(labels.train)!;
	const { weights } = await nativeCall(() =>
		nativeAddon().fitRidge({
			features: standardiser.apply(train),
			rows: labels.train.length,
			columns: table.columns,
			targets: Float32Array.from(labels.train, ({ value }) => (value - mean) / deviation),
			outputs: 1,
			l2: Float64Array.from(l2Grid),
		}),
	);
	const width = table.columns + 1;
	const probeOf = (i: number): FittedNumberProbe => ({
		l2: l2Grid[i]!,
		weights: weights
			.slice(i * width, (i + 1) * width)
			.map((weight, column) => weight * deviation + (column === table.columns ? mean : 0)),
		standardiser,
	});
	const truth = labels.tuning.map(({ value }) => value);
	const ones = new Float64Array(truth.length).fill(1);
	const best = chosenPenalty('ridge', { l2: l2Grid, otherwise: l2Default }, (i) => {
		const predicted = predictedNumbers(probeOf(i), table, rowsOf(rowOf, labels.tuning));
		return definedValue(rSquared(predicted, truth, truth.length, 1, ones));
	});
	return probeOf(best);
}

/** What a fitted probe says of rows of a table. */
export function predictedNumbers(
	{ weights, standardiser }: FittedNumberProbe,
	table: FeatureTable,
	rows: readonly number[],
): Float64Array {
	return linear(standardiser.apply(selectRows(table, rows)), table.columns, weights);
}

/** Mean and standard deviation of labels; undefined without any. */
export function momentsOf(
	labels: readonly NumberLabelRow[],
): { readonly mean: number; readonly deviation: number } | undefined {
	if (labels.length === 0) return undefined;
	const mean = labels.reduce((sum, { value }) => sum + value / labels.length, 0);
	const variance = labels.reduce((sum, { value }) => sum + (value - mean) ** 2 / labels.length, 0);
	return { mean, deviation: Math.sqrt(variance) };
}
