import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { filePath, parseConfig, seed } from '../config.js';
import { AbortedError, DataError } from '../errors.js';
import { hiddenNote } from '../files/visible-files.js';
import { writeWhole, writeWholeFolder } from '../files/whole.js';
import { labelFiles } from '../tasks/label-sets.js';
import { type LabelRow, readLabelFiles, sampleKey } from '../tasks/read.js';
import { type LongOperation, type Split, splits } from '../types.js';
import { binaryMetricNames } from './binary-metrics.js';
import { readEmbeddings } from './embeddings.js';
import { Estimate } from './evaluation-file.js';
import { readFeatureSplits } from './feature-splits.js';
import { type FeatureTable, largestStandardised } from './features.js';
import { smallestDraws } from './intervals.js';
import { medsEvaluation } from './meds-evaluation.js';
import { predictionEstimates } from './prediction-intervals.js';
import { writePredictions } from './predictions.js';
import { type FittedProbe, fitProbe, probabilitiesOf, rowsByKey, tooFewPatients } from './probe.js';
import { outcomesOf } from './samples.js';

export const ProbeOptions = z.strictObject({
	/** Parquet with subject_id, prediction_time and a list of numbers, one row a sample. */
	features: filePath,
	/** The list's column. */
	column: z.string().min(1).default('embedding'),
	/** Parquet in the MEDS label schema, or a folder of such files. */
	labels: filePath,
	/** MEDS subject_splits; absent: the column `split` of the features. */
	splits: filePath.optional(),
	/** Folder to write. */
	out: filePath,
	seed: seed.default(1),
	/** Bootstrap resamples of patients. */
	draws: z.int().min(smallestDraws).default(1000),
});
export type ProbeOptions = z.input<typeof ProbeOptions>;

const splitCounts = z.strictObject({ train: z.int(), tuning: z.int(), held_out: z.int() });
/** `probe.json`: one fitted probe with what it reads on held-out patients. */
export const ProbeFile = z.strictObject({
	format: z.literal('ehr-jepa/probe'),
	version: z.literal(1),
	features: z.strictObject({ column: z.string(), columns: z.int() }),
	samples: splitCounts,
	patients: splitCounts,
	positives: splitCounts,
	/** Labels that were left out, by reason. */
	excluded: z.strictObject({
		unlabelled: z.int(),
		repeated: z.int(),
		withoutFeatures: z.int(),
		withoutSplit: z.int(),
	}),
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

const level = 0.95;

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
		const finished = (done: number) => {
			operation.onProgress?.({ stage: 'probe', done, total: 4, unit: 'stages' });
			if (operation.signal?.aborted) throw new AbortedError('[probe] aborted', { cause: operation.signal.reason });
		};
		const input = await readInput(config, operation);
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

/** Features with their labels by split, and what was left out. */
interface ProbeInput {
	readonly table: FeatureTable;
	readonly rowOf: ReadonlyMap<string, number>;
	readonly labels: Readonly<Record<Split, readonly LabelRow[]>>;
	readonly excluded: ProbeFile['excluded'];
}

async function readInput(
	{ features, column, labels: path, splits: splitsPath }: ParsedOptions,
	{ onWarning }: LongOperation,
): Promise<ProbeInput> {
	const table = await readEmbeddings(features, column);
	const rowOf = rowsByKey(table);
	const splitOf = await readFeatureSplits(features, splitsPath, onWarning);
	const isFile = (await stat(path).catch(() => undefined))?.isFile() ?? false;
	const hidden: string[] = [];
	const files = isFile ? [path] : await labelFiles(path, hidden);
	const note = hiddenNote(hidden);
	if (note !== undefined) onWarning?.(note);
	const { labels: all, counts } = await readLabelFiles(files, { mayBeEmpty: false });
	const { labels, withoutFeatures, withoutSplit } = assign(all, rowOf, splitOf);
	const { unlabelled, repeated } = counts;
	return { table, rowOf, labels, excluded: { unlabelled, repeated, withoutFeatures, withoutSplit } };
}

function missingClass(file: string, reason: string, { excluded }: ProbeInput): DataError {
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
	{ table, labels, excluded }: ProbeInput,
	{ l2, weights, standardiser }: FittedProbe,
	reading: Pick<ProbeFile, 'metrics' | 'calibrationCurve'>,
): ProbeFile {
	const outcomes = {
		train: outcomesOf(labels.train),
		tuning: outcomesOf(labels.tuning),
		held_out: outcomesOf(labels.held_out),
	};
	const each = <T>(of: (split: Split) => T) =>
		Object.fromEntries(splits.map((split) => [split, of(split)])) as Record<Split, T>;
	const labelled = splits.reduce((sum, split) => sum + labels[split].length, excluded.withoutSplit);
	return ProbeFile.parse({
		format: 'ehr-jepa/probe',
		version: 1,
		features: { column, columns: table.columns },
		samples: each((split) => outcomes[split].nSamples),
		patients: each((split) => outcomes[split].nPatients),
		positives: each((split) => outcomes[split].nPositives),
		excluded,
		featuresWithoutLabel: table.rows - labelled,
		probe: {
			kind: 'logistic',
			l2,
			clip: largestStandardised,
			intercept: weights[table.columns]!,
			weight: [...weights.subarray(0, table.columns)],
			mean: [...standardiser.mean],
			scale: [...standardiser.scale],
		},
		bootstrap: { draws, level, unit: 'patient', seed: drawn },
		...reading,
	} satisfies ProbeFile);
}

const json = (value: unknown) => `${JSON.stringify(value, undefined, '\t')}\n`;

/** Labels by split, of samples that have features; the others are counted. */
function assign(
	all: readonly LabelRow[],
	rowOf: ReadonlyMap<string, number>,
	splitOf: ReadonlyMap<bigint, Split>,
): {
	readonly labels: Readonly<Record<Split, readonly LabelRow[]>>;
	readonly withoutFeatures: number;
	readonly withoutSplit: number;
} {
	const labels: Record<Split, LabelRow[]> = { train: [], tuning: [], held_out: [] };
	let [withoutFeatures, withoutSplit] = [0, 0];
	for (const label of all) {
		const split = splitOf.get(label.subjectId);
		if (!rowOf.has(sampleKey(label))) withoutFeatures++;
		else if (split === undefined) withoutSplit++;
		else labels[split].push(label);
	}
	return { labels, withoutFeatures, withoutSplit };
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
		{ draws, level, seed: drawn, signal: operation.signal },
		tooFew,
	);
	const { metrics, curve } = models[0]!;
	return { metrics, calibrationCurve: [...curve] };
}
