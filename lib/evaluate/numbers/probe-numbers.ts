import { join } from 'node:path';
import { z } from 'zod';
import { parseConfig } from '../../config.js';
import { DataError } from '../../errors.js';
import { writeWhole, writeWholeFolder } from '../../files/whole.js';
import { type NumberLabelRow, numberColumn, readNumberLabels } from '../../tasks/number-labels.js';
import { type LongOperation, splits } from '../../types.js';
import { Estimate } from '../estimate.js';
import { largestStandardised } from '../features.js';
import { bootstrap } from '../intervals.js';
import { isDefined, type Metric, meanAbsoluteError, meanSquaredError, rSquared } from '../metrics.js';
import { writePredictionColumns } from '../predictions-file.js';
import { tooFewHeldOut } from '../probe.js';
import {
	ExcludedLabels,
	eachSplit,
	type ProbeInput,
	patientsOf,
	probeInputOptions,
	probeLevel,
	probeStages,
	readProbeInput,
	splitCounts,
} from '../probe-input.js';
import { rowsOf } from '../samples.js';
import { type FittedNumberProbe, fitNumberProbe, momentsOf, predictedNumbers } from './number-probe.js';

export const ProbeNumbersOptions = z.strictObject({
	...probeInputOptions,
	/** Column of the labels. */
	labelColumn: z.string().min(1).default(numberColumn),
});
export type ProbeNumbersOptions = z.input<typeof ProbeNumbersOptions>;

/** `probe.json` of a ridge probe. */
export const NumberProbeFile = z.strictObject({
	format: z.literal('ehr-jepa/ridge-probe'),
	version: z.literal(1),
	features: z.strictObject({ column: z.string(), columns: z.int() }),
	labelColumn: z.string(),
	samples: splitCounts,
	patients: splitCounts,
	/** Mean and standard deviation of the labels; null without any. */
	mean: eachSplitNumber(),
	deviation: eachSplitNumber(),
	excluded: ExcludedLabels,
	/** Rows of features that no label asks for. */
	featuresWithoutLabel: z.int(),
	/** y = intercept + sum_i weight_i clip((x_i - mean_i) scale_i), clipped to +-`clip`. */
	probe: z.strictObject({
		kind: z.literal('ridge'),
		l2: z.number(),
		clip: z.number(),
		intercept: z.number(),
		weight: z.array(z.number()),
		mean: z.array(z.number()),
		scale: z.array(z.number()),
	}),
	bootstrap: z.strictObject({ draws: z.int(), level: z.number(), unit: z.literal('patient'), seed: z.int() }),
	/** On held-out patients; the errors are in the unit of the labels. */
	metrics: z.strictObject({ r2: Estimate, meanAbsoluteError: Estimate, rootMeanSquaredError: Estimate }),
});
export type NumberProbeFile = z.infer<typeof NumberProbeFile>;

function eachSplitNumber() {
	const number = z.number().nullable();
	return z.strictObject({ train: number, tuning: number, held_out: number });
}

/**
 * Fits a ridge regression of numbers on anybody's features: standardised on train, L2 chosen on tuning by R², read on held-out with
 * patient-level intervals. Writes a folder with `probe.json` and `predictions-<split>.parquet` (`float_value`, `predicted_value`).
 *
 * @throws {DataError} For features, labels or splits that break a rule, and when train holds fewer than two numbers.
 * @throws {OutputError} {NativeError} {AbortedError}
 */
export async function probeNumbers(
	options: ProbeNumbersOptions,
	operation: LongOperation = {},
): Promise<NumberProbeFile> {
	const config = parseConfig('probe', ProbeNumbersOptions, options);
	return writeWholeFolder(config.out, async (folder) => {
		const finished = probeStages(operation);
		const input = await readProbeInput(config, (files) => readNumberLabels(files, config.labelColumn), operation);
		finished(1);
		const { table, rowOf, labels } = input;
		requireTwoNumbers(config, input);
		const probe = await fitNumberProbe(table, rowOf, labels);
		finished(2);
		const predicted = eachSplit((split) => predictedNumbers(probe, table, rowsOf(rowOf, labels[split])));
		const metrics = await read(predicted.held_out, labels.held_out, config, operation);
		finished(3);
		for (const split of splits) {
			await writePredictionColumns(join(folder, `predictions-${split}.parquet`), labels[split], [
				{ name: 'float_value', type: 'FLOAT', value: (row) => labels[split][row]!.value },
				{ name: 'predicted_value', type: 'FLOAT', value: (row) => predicted[split][row]! },
			]);
		}
		const file = describe(config, input, probe, metrics);
		await writeWhole(join(folder, 'probe.json'), `${JSON.stringify(file, undefined, '\t')}\n`);
		finished(4);
		return file;
	});
}

type ParsedOptions = z.output<typeof ProbeNumbersOptions>;

function requireTwoNumbers(
	{ labels: file, labelColumn }: ParsedOptions,
	{ labels, excluded }: ProbeInput<NumberLabelRow>,
): void {
	const found = new Set(labels.train.map(({ value }) => value)).size;
	if (found > 1) return;
	throw new DataError('probe', {
		file,
		column: labelColumn,
		rule: 'must hold two numbers or more in train, of samples that have features',
		value: `${found} in ${labels.train.length} samples; ${excluded.withoutFeatures} labels without features, ${excluded.withoutSplit} of subjects in no split`,
		fix: 'give the features and the splits of these labels',
	});
}

async function read(
	predicted: Float64Array,
	labels: readonly NumberLabelRow[],
	{ draws, seed }: ParsedOptions,
	{ signal }: LongOperation,
): Promise<NumberProbeFile['metrics']> {
	const undefinedReason = tooFewHeldOut(labels);
	if (undefinedReason !== undefined) {
		const nothing = { value: null, low: null, high: null, undefinedReason };
		return { r2: nothing, meanAbsoluteError: nothing, rootMeanSquaredError: nothing };
	}
	const truth = Float64Array.from(labels, ({ value }) => value);
	const { estimates } = await bootstrap(
		labels.map(({ subjectId }) => subjectId),
		[
			(weights) => rSquared(predicted, truth, truth.length, 1, weights),
			(weights) => meanAbsoluteError(predicted, truth, weights),
			(weights) => root(meanSquaredError(predicted, truth, weights)),
		],
		[],
		{ draws, level: probeLevel, seed, signal },
	);
	return { r2: estimates[0]!, meanAbsoluteError: estimates[1]!, rootMeanSquaredError: estimates[2]! };
}

function root(metric: Metric): Metric {
	return isDefined(metric) ? { value: Math.sqrt(metric.value) } : metric;
}

function describe(
	{ column, labelColumn, draws, seed }: ParsedOptions,
	{ table, labels, excluded, featuresWithoutLabel }: ProbeInput<NumberLabelRow>,
	{ l2, weights, standardiser }: FittedNumberProbe,
	metrics: NumberProbeFile['metrics'],
): NumberProbeFile {
	const moments = eachSplit((split) => momentsOf(labels[split]));
	return NumberProbeFile.parse({
		format: 'ehr-jepa/ridge-probe',
		version: 1,
		features: { column, columns: table.columns },
		labelColumn,
		samples: eachSplit((split) => labels[split].length),
		patients: eachSplit((split) => patientsOf(labels[split])),
		mean: eachSplit((split) => moments[split]?.mean ?? null),
		deviation: eachSplit((split) => moments[split]?.deviation ?? null),
		excluded,
		featuresWithoutLabel,
		probe: {
			kind: 'ridge',
			l2,
			clip: largestStandardised,
			intercept: weights[table.columns]!,
			weight: [...weights.subarray(0, table.columns)],
			mean: [...standardiser.mean],
			scale: [...standardiser.scale],
		},
		bootstrap: { draws, level: probeLevel, unit: 'patient', seed },
		metrics,
	} satisfies NumberProbeFile);
}
