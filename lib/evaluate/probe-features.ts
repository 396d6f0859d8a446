import { join } from 'node:path';
import { z } from 'zod';
import { parseConfig } from '../config.js';
import { DataError } from '../errors.js';
import { writeWhole, writeWholeFolder } from '../files/whole.js';
import { type LabelRow, readLabelFiles, sampleKey } from '../tasks/read.js';
import { type LongOperation, splits } from '../types.js';
import { binaryMetricNames } from './binary-metrics.js';
import { Estimate } from './evaluation-file.js';
import { largestStandardised } from './features.js';
import { medsEvaluation } from './meds-evaluation.js';
import { predictionEstimates } from './prediction-intervals.js';
import { writePredictions } from './predictions.js';
import { type FittedProbe, fitProbe, probabilitiesOf, tooFewPatients } from './probe.js';
import {
	ExcludedLabels,
	eachSplit,
	type ProbeInput,
	probeInputOptions,
	probeLevel,
	probeStages,
	readProbeInput,
	splitCounts,
} from './probe-input.js';
import { outcomesOf } from './samples.js';

export const ProbeOptions = z.strictObject(probeInputOptions);
export type ProbeOptions = z.input<typeof ProbeOptions>;

/** `probe.json`: one fitted probe with what it reads on held-out patients. */
export const ProbeFile = z.strictObject({
	format: z.literal('ehr-jepa/probe'),
	version: z.literal(1),
	features: z.strictObject({ column: z.string(), columns: z.int() }),
	samples: splitCounts,
	patients: splitCounts,
	positives: splitCounts,
	excluded: ExcludedLabels,
	/** Rows of features that no label asks for. */
	featuresWithoutLabel: z.int(),
	/** p = 1 / (1 + exp(-(intercept + sum_i weight_i clip((x_i - mean_i) scale_i)))), clipped to +-`clip`. */
	probe: z.strictObject({
		kind: z.literal('logistic'),
		l2: z.number(),
		clip: z.number(),
		intercept: z.number(),
		weight: z.array(z.number()),
		mean: z.array(z.number()),
		scale: z.array(z.number()),
	}),
	bootstrap: z.strictObject({ draws: z.int(), level: z.number(), unit: z.literal('patient'), seed: z.int() }),
	/** On held-out patients. */
	metrics: z.record(z.enum(binaryMetricNames), Estimate),
	calibrationCurve: z.array(z.strictObject({ predicted: z.number(), observed: z.number(), weight: z.number() })),
});
export type ProbeFile = z.infer<typeof ProbeFile>;

/**
 * Fits a logistic probe on anybody's features: standardised on train, L2 chosen on tuning, read on held-out with
 * patient-level intervals. Writes a folder with `probe.json` (coefficients, metrics, counts), `meds-evaluation.json` and
 * `predictions-<split>.parquet` as meds-evaluation reads them.
 *
 * @throws {DataError} For features, labels or splits that break a rule, and when train lacks a class.
 * @throws {OutputError} {NativeError} {AbortedError}
 */
export async function probeFeatures(options: ProbeOptions, operation: LongOperation = {}): Promise<ProbeFile> {
	const config = parseConfig('probe', ProbeOptions, options);
	return writeWholeFolder(config.out, async (folder) => {
		const finished = probeStages(operation);
		const input = await readProbeInput(config, (files) => readLabelFiles(files, { mayBeEmpty: false }), operation);
		finished(1);
		const { table, rowOf, labels } = input;
		const fitted = await fitProbe(table, rowOf, labels);
		if ('undefinedReason' in fitted) throw missingClass(config.labels, fitted.undefinedReason, input);
		finished(2);
		const heldOut = outcomesOf(labels.held_out);
		const reading = await read(fitted.probabilities, heldOut, tooFewPatients(labels.held_out), config, operation);
		finished(3);
		const file = describe(config, input, fitted, reading);
		for (const split of splits) {
			const rows = labels[split].map((label) => rowOf.get(sampleKey(label))!);
			const path = join(folder, `predictions-${split}.parquet`);
			await writePredictions(path, labels[split], probabilitiesOf(fitted, table, rows));
		}
		const compatible = medsEvaluation(fitted.probabilities, heldOut.truth, heldOut.patients);
		await writeWhole(join(folder, 'meds-evaluation.json'), json(compatible));
		await writeWhole(join(folder, 'probe.json'), json(file));
		finished(4);
		return file;
	});
}

type ParsedOptions = z.output<typeof ProbeOptions>;

function missingClass(file: string, reason: string, { excluded }: ProbeInput<LabelRow>): DataError {
	return new DataError('probe', {
		file,
		column: 'boolean_value',
		rule: 'must hold both classes in train, of samples that have features',
		value: `${reason}; ${excluded.withoutFeatures} labels without features, ${excluded.withoutSplit} of subjects in no split`,
		fix: 'give the features and the splits of these labels',
	});
}

function describe(
	{ column, draws, seed: drawn }: ParsedOptions,
	{ table, labels, excluded, featuresWithoutLabel }: ProbeInput<LabelRow>,
	{ l2, weights, standardiser }: FittedProbe,
	reading: Pick<ProbeFile, 'metrics' | 'calibrationCurve'>,
): ProbeFile {
	const outcomes = eachSplit((split) => outcomesOf(labels[split]));
	return ProbeFile.parse({
		format: 'ehr-jepa/probe',
		version: 1,
		features: { column, columns: table.columns },
		samples: eachSplit((split) => outcomes[split].nSamples),
		patients: eachSplit((split) => outcomes[split].nPatients),
		positives: eachSplit((split) => outcomes[split].nPositives),
		excluded,
		featuresWithoutLabel,
		probe: {
			kind: 'logistic',
			l2,
			clip: largestStandardised,
			intercept: weights[table.columns]!,
			weight: [...weights.subarray(0, table.columns)],
			mean: [...standardiser.mean],
			scale: [...standardiser.scale],
		},
		bootstrap: { draws, level: probeLevel, unit: 'patient', seed: drawn },
		...reading,
	} satisfies ProbeFile);
}

const json = (value: unknown) => `${JSON.stringify(value, undefined, '\t')}\n`;

/** Metrics of held-out predictions; where the samples cannot carry one, each says why. */
async function read(
	probabilities: Float64Array,
	{ truth, patients }: { readonly truth: Uint8Array; readonly patients: readonly bigint[] },
	tooFew: string | undefined,
	{ draws, seed: drawn }: ParsedOptions,
	operation: LongOperation,
): Promise<Pick<ProbeFile, 'metrics' | 'calibrationCurve'>> {
	const { models } = await predictionEstimates(
		patients,
		truth,
		[probabilities],
		[],
		{ draws, level: probeLevel, seed: drawn, signal: operation.signal },
		tooFew,
	);
	const { metrics, curve } = models[0]!;
	return { metrics, calibrationCurve: [...curve] };
}
