import { join } from 'node:path';
import { z } from 'zod';
import { parseConfig } from '../../config.js';
import { writeWholeFolder } from '../../files/whole.js';
import { type NumberLabelRow, numberColumn, readNumberLabels } from '../../tasks/number-labels.js';
import { type LongOperation, splits } from '../../types.js';
import { Estimate } from '../estimate.js';
import { bootstrap } from '../intervals.js';
import { isDefined, type Metric, meanAbsoluteError, meanSquaredError, rSquared } from '../metrics.js';
import { writePredictionColumns } from '../predictions-file.js';
import { tooFewHeldOut } from '../probe.js';
import {
	labelsThatFitNothing,
	linearCoefficients,
	linearCoefficientsOf,
	probedSamples,
	probedSamplesOf,
	standardisedFeatures,
	standardisedFeaturesOf,
	writeProbeFile,
} from '../probe-file.js';
import {
	eachSplit,
	type ProbeInput,
	probeInputOptions,
	probeLevel,
	probeStages,
	readProbeInput,
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
	labelColumn: z.string(),
	...probedSamples,
	/** Mean and standard deviation of the labels; null without any. */
	mean: eachSplitNumber(),
	deviation: eachSplitNumber(),
	/** y = intercept + sum_i weight_i clip((x_i - mean_i) scale_i), clipped to +-`clip`. */
	probe: z.strictObject({
		kind: z.literal('ridge'),
		...standardisedFeatures,
		...linearCoefficients,
	}),
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
		await writeProbeFile(folder, file);
		finished(4);
		return file;
	});
}

type ParsedOptions = z.output<typeof ProbeNumbersOptions>;

function requireTwoNumbers({ labels: file, labelColumn }: ParsedOptions, input: ProbeInput<NumberLabelRow>): void {
	const found = new Set(input.labels.train.map(({ value }) => value)).size;
	if (found > 1) return;
	const value = `${found} in ${input.labels.train.length} samples`;
	throw labelsThatFitNothing({ file, column: labelColumn }, 'two numbers or more', value, input);
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
	config: ParsedOptions,
	input: ProbeInput<NumberLabelRow>,
	{ l2, weights, standardiser }: FittedNumberProbe,
	metrics: NumberProbeFile['metrics'],
): NumberProbeFile {
	const { labelColumn } = config;
	const moments = eachSplit((split) => momentsOf(input.labels[split]));
	return NumberProbeFile.parse({
		format: 'ehr-jepa/ridge-probe',
		version: 1,
		labelColumn,
		...probedSamplesOf(config, input),
		mean: eachSplit((split) => moments[split]?.mean ?? null),
		deviation: eachSplit((split) => moments[split]?.deviation ?? null),
		probe: { kind: 'ridge', ...standardisedFeaturesOf(l2, standardiser), ...linearCoefficientsOf(weights) },
		metrics,
	} satisfies NumberProbeFile);
}
