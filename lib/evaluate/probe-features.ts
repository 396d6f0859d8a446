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
import { Calibration } from './calibration.js';
import { readEmbeddings } from './embeddings.js';
import { Estimate } from './evaluation-file.js';
import { readFeatureSplits } from './feature-splits.js';
import { largestStandardised } from './features.js';
import { bootstrap, smallestDraws } from './intervals.js';
import { medsEvaluation } from './meds-evaluation.js';
import { type Metric, RankedPredictions } from './metrics.js';
import { writePredictions } from './predictions.js';
import { fitProbe, probabilitiesOf, rowsByKey, tooFewPatients } from './probe.js';
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
const metricNames = [
	'auroc',
	'averagePrecision',
	'brier',
	'expectedCalibrationError',
	'calibrationSlope',
	'calibrationIntercept',
] as const;

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
	metrics: z.record(z.enum(metricNames), Estimate),
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
		const progress = (done: number) => operation.onProgress?.({ stage: 'probe', done, total: 4, unit: 'stages' });
		const stop = () => {
			if (operation.signal?.aborted) throw new AbortedError('[probe] aborted', { cause: operation.signal.reason });
		};
		const table = await readEmbeddings(config.features, config.column);
		const splitOf = await readFeatureSplits(config.features, config.splits);
		const hidden: string[] = [];
		const files = (await stat(config.labels).catch(() => undefined))?.isFile()
			? [config.labels]
			: await labelFiles(config.labels, hidden);
		const note = hiddenNote(hidden);
		if (note !== undefined) operation.onWarning?.(note);
		const { labels: all, counts } = await readLabelFiles(files, { mayBeEmpty: false });
		progress(1);
		stop();
		const rowOf = rowsByKey(table);
		const { labels, withoutFeatures, withoutSplit } = assign(all, rowOf, splitOf);
		const fitted = await fitProbe(table, rowOf, labels);
		if ('undefinedReason' in fitted) {
			throw new DataError('probe', {
				file: config.labels,
				column: 'boolean_value',
				rule: 'must hold both classes in train, of samples that have features',
				value: `${fitted.undefinedReason}; ${withoutFeatures} labels without features, ${withoutSplit} of subjects in no split`,
				fix: 'give the features and the splits of these labels',
			});
		}
		progress(2);
		stop();
		const heldOut = outcomesOf(labels.held_out);
		const { metrics, calibrationCurve } = await read(
			fitted.probabilities,
			heldOut,
			tooFewPatients(labels.held_out),
			config,
			operation,
		);
		progress(3);
		const known = splits.reduce((sum, split) => sum + labels[split].length, 0);
		const outcomes = { train: outcomesOf(labels.train), tuning: outcomesOf(labels.tuning), held_out: heldOut };
		const each = <T>(of: (split: Split) => T) =>
			Object.fromEntries(splits.map((split) => [split, of(split)])) as Record<Split, T>;
		const file = ProbeFile.parse({
			format: 'ehr-jepa/probe',
			version: 1,
			features: { column: config.column, columns: table.columns },
			samples: each((split) => outcomes[split].nSamples),
			patients: each((split) => outcomes[split].nPatients),
			positives: each((split) => outcomes[split].nPositives),
			excluded: { unlabelled: counts.unlabelled, repeated: counts.repeated, withoutFeatures, withoutSplit },
			featuresWithoutLabel: table.rows - known - withoutSplit,
			probe: {
				kind: 'logistic',
				l2: fitted.l2,
				clip: largestStandardised,
				intercept: fitted.weights[table.columns]!,
				weight: [...fitted.weights.subarray(0, table.columns)],
				mean: [...fitted.standardiser.mean],
				scale: [...fitted.standardiser.scale],
			},
			bootstrap: { draws: config.draws, level, unit: 'patient', seed: config.seed },
			metrics,
			calibrationCurve,
		} satisfies ProbeFile);
		for (const split of splits) {
			const probabilities = probabilitiesOf(
				fitted,
				table,
				labels[split].map((label) => rowOf.get(sampleKey(label))!),
			);
			await writePredictions(join(folder, `predictions-${split}.parquet`), labels[split], probabilities);
		}
		await writeWhole(
			join(folder, 'meds-evaluation.json'),
			json(medsEvaluation(fitted.probabilities, heldOut.truth, heldOut.patients)),
		);
		await writeWhole(join(folder, 'probe.json'), json(file));
		progress(4);
		return file;
	});
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
	{ draws, seed: drawn }: z.output<typeof ProbeOptions>,
	operation: LongOperation,
): Promise<Pick<ProbeFile, 'metrics' | 'calibrationCurve'>> {
	const ranked = new RankedPredictions(probabilities, truth);
	const calibration = new Calibration(probabilities, truth);
	const statistics: Record<(typeof metricNames)[number], (weights: Float64Array) => Metric> = {
		auroc: (weights) => ranked.auroc(weights),
		averagePrecision: (weights) => ranked.averagePrecision(weights),
		brier: (weights) => ranked.brier(weights),
		expectedCalibrationError: (weights) => calibration.expectedError(weights),
		calibrationSlope: (weights) => calibration.slope(weights),
		calibrationIntercept: (weights) => calibration.intercept(weights),
	};
	const { estimates } = await bootstrap(
		patients,
		metricNames.map((name) => (tooFew === undefined ? statistics[name] : () => ({ undefinedReason: tooFew }))),
		[],
		{ draws, level, seed: drawn, signal: operation.signal },
	);
	return {
		metrics: Object.fromEntries(metricNames.map((name, i) => [name, estimates[i]!])) as ProbeFile['metrics'],
		calibrationCurve: calibration.curve(new Float64Array(truth.length).fill(1)),
	};
}
