import { z } from 'zod';
import { filePath, parseConfig, seed } from '../../config.js';
import { ConfigError } from '../../errors.js';
import { writeWhole } from '../../files/whole.js';
import { packageVersion } from '../../package-version.js';
import type { LongOperation } from '../../types.js';
import { binaryMetricNames, comparedMetrics } from '../binary-metrics.js';
import { Estimate } from '../estimate.js';
import { smallestDraws } from '../intervals.js';
import { predictionEstimates } from '../prediction-intervals.js';
import { tooFewOf } from '../probe.js';
import { readPredictions } from './read-predictions.js';

export const PredictionMetricsOptions = z.strictObject({
	/** Files of predictions in meds-evaluation's schema, of one task and horizon; `name` is that of the model. */
	predictions: z.array(z.strictObject({ name: z.string().min(1), path: filePath })).min(1),
	/** Where the JSON is written; absent: nowhere. */
	out: filePath.optional(),
	seed: seed.default(1),
	/** Bootstrap resamples of patients. */
	draws: z.int().min(smallestDraws).default(1000),
});
export type PredictionMetricsOptions = z.input<typeof PredictionMetricsOptions>;

/** Metrics of predictions that somebody made. */
export const PredictionMetricsFile = z.strictObject({
	format: z.literal('ehr-jepa/metrics'),
	version: z.literal(1),
	package: z.string(),
	/** Samples that every model has with a label. */
	samples: z.int(),
	patients: z.int(),
	positives: z.int(),
	prevalence: z.number(),
	bootstrap: z.strictObject({ draws: z.int(), level: z.number(), unit: z.literal('patient'), seed: z.int() }),
	models: z.array(
		z.strictObject({
			name: z.string(),
			/** Rows of its file, and those left out. */
			rows: z.int(),
			unlabelled: z.int(),
			notInAll: z.int(),
			metrics: z.record(z.enum(binaryMetricNames), Estimate),
			calibrationCurve: z.array(z.strictObject({ predicted: z.number(), observed: z.number(), weight: z.number() })),
		}),
	),
	/** a - b on the same resamples, of every two models. */
	differences: z.array(
		z.strictObject({ a: z.string(), b: z.string(), metric: z.enum(comparedMetrics), difference: Estimate }),
	),
});
export type PredictionMetricsFile = z.infer<typeof PredictionMetricsFile>;

const level = 0.95;

/**
 * Every metric of binary predictions, whoever made them, with patient-level intervals; of several models on the same samples also
 * their paired differences.
 *
 * @throws {DataError} For predictions that break a rule; names file, row and subject.
 * @throws {ConfigError} {OutputError} {AbortedError}
 */
export async function predictionMetrics(
	options: PredictionMetricsOptions,
	operation: LongOperation = {},
): Promise<PredictionMetricsFile> {
	const { predictions, out, seed: drawn, draws } = parseConfig('metrics', PredictionMetricsOptions, options);
	const names = predictions.map(({ name }) => name);
	const twice = names.find((name, i) => names.indexOf(name) !== i);
	if (twice !== undefined)
		throw new ConfigError(`[metrics] models must have different names but two are called ${twice}`);
	const given = await readPredictions(
		predictions.map(({ path }) => path),
		operation.signal,
	);
	const { patients, truth, probabilities, counts } = given;
	const people = countPatients(patients, truth);
	const pairs = names.flatMap((_, b) => names.slice(0, b).map((__, a) => [a, b] as const));
	const { models, differences } = await predictionEstimates(
		patients,
		truth,
		probabilities,
		pairs,
		{
			...{ draws, level, seed: drawn, signal: operation.signal },
			onDraws: (done) => operation.onProgress?.({ stage: 'intervals', done, total: draws, unit: 'resamples' }),
		},
		tooFewOf(people.withPositive, people.withNegative),
	);
	const positives = truth.reduce((sum, value) => sum + value, 0);
	const file = PredictionMetricsFile.parse({
		format: 'ehr-jepa/metrics',
		version: 1,
		package: packageVersion,
		samples: truth.length,
		patients: people.all,
		positives,
		prevalence: positives / truth.length,
		bootstrap: { draws, level, unit: 'patient', seed: drawn },
		models: models.map(({ metrics, curve }, i) => ({
			name: names[i]!,
			...counts[i]!,
			metrics,
			calibrationCurve: [...curve],
		})),
		differences: differences.map(({ a, b, ...rest }) => ({ a: names[a]!, b: names[b]!, ...rest })),
	} satisfies PredictionMetricsFile);
	if (out !== undefined) await writeWhole(out, `${JSON.stringify(file, undefined, '\t')}\n`);
	return file;
}

/** Patients, and those with a sample of each class. @param patients - In order. */
function countPatients(patients: BigInt64Array, truth: Uint8Array) {
	let [all, withPositive, withNegative] = [0, 0, 0];
	for (let first = 0, last = 0; first < patients.length; first = last) {
		const seen = [false, false];
		for (; last < patients.length && patients[last] === patients[first]; last++) seen[truth[last]!] = true;
		all++;
		if (seen[1]) withPositive++;
		if (seen[0]) withNegative++;
	}
	return { all, withPositive, withNegative };
}
