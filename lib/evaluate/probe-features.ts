import { join } from 'node:path';
import { z } from 'zod';
import { parseConfig } from '../config.js';
import { writeWhole, writeWholeFolder } from '../files/whole.js';
import { type LabelRow, readLabelFiles, sampleKey } from '../tasks/read.js';
import { type LongOperation, splits } from '../types.js';
import { binaryMetricNames } from './binary-metrics.js';
import { Estimate } from './evaluation-file.js';
import { medsEvaluation } from './meds-evaluation.js';
import { predictionEstimates } from './prediction-intervals.js';
import { writePredictions } from './predictions.js';
import { type FittedProbe, fitProbe, probabilitiesOf, tooFewPatients } from './probe.js';
import {
	labelsThatFitNothing,
	linearCoefficients,
	linearCoefficientsOf,
	probedSamples,
	probedSamplesOf,
	standardisedFeatures,
	standardisedFeaturesOf,
	writeProbeFile,
} from './probe-file.js';
import {
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
	...probedSamples,
	positives: splitCounts,
	/** p = 1 / (1 + exp(-(intercept + sum_i weight_i clip((x_i - mean_i) scale_i)))), clipped to +-`clip`. */
	probe: z.strictObject({
		kind: z.literal('logistic'),
		...standardisedFeatures,
		...linearCoefficients,
	}),
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
		if ('undefinedReason' in fitted) {
			const place = { file: config.labels, column: 'boolean_value' };
			throw labelsThatFitNothing(place, 'both classes', fitted.undefinedReason, input);
		}
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
		await writeWhole(join(folder, 'meds-evaluation.json'), `${JSON.stringify(compatible, undefined, '\t')}\n`);
		await writeProbeFile(folder, file);
		finished(4);
		return file;
	});
}

type ParsedOptions = z.output<typeof ProbeOptions>;

function describe(
	config: ParsedOptions,
	input: ProbeInput<LabelRow>,
	{ l2, weights, standardiser }: FittedProbe,
	reading: Pick<ProbeFile, 'metrics' | 'calibrationCurve'>,
): ProbeFile {
	return ProbeFile.parse({
		format: 'ehr-jepa/probe',
		version: 1,
		...probedSamplesOf(config, input),
		positives: eachSplit((split) => outcomesOf(input.labels[split]).nPositives),
		probe: { kind: 'logistic', ...standardisedFeaturesOf(l2, standardiser), ...linearCoefficientsOf(weights) },
		...reading,
	} satisfies ProbeFile);
}

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
