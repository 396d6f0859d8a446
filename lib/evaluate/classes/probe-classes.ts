import { join } from 'node:path';
import { z } from 'zod';
import { parseConfig } from '../../config.js';
import { writeWholeFolder } from '../../files/whole.js';
import { type ClassLabelRow, readClassLabels } from '../../tasks/class-labels.js';
import { sampleKey } from '../../tasks/read.js';
import { type LongOperation, splits } from '../../types.js';
import { Estimate } from '../estimate.js';
import {
	labelsThatFitNothing,
	probedSamples,
	probedSamplesOf,
	standardisedFeatures,
	standardisedFeaturesOf,
	writeProbeFile,
} from '../probe-file.js';
import {
	ExcludedLabels,
	eachSplit,
	type ProbeInput,
	probeInputOptions,
	probeLevel,
	probeStages,
	readProbeInput,
	splitCounts,
} from '../probe-input.js';
import { type ClassEstimates, classEstimates } from './class-metrics.js';
import { writeClassPredictions } from './class-predictions.js';
import { classLogProbabilities, type FittedClassProbe, fitClassProbe } from './class-probe.js';
import { knownClasses } from './class-samples.js';

export const ProbeClassesOptions = z.strictObject({
	...probeInputOptions,
	/** Column of the labels; absent: `categorical_value` or `integer_value`, whichever holds labels. */
	labelColumn: z.string().min(1).optional(),
});
export type ProbeClassesOptions = z.input<typeof ProbeClassesOptions>;

/** `probe.json` of a multinomial probe. */
export const ClassProbeFile = z.strictObject({
	format: z.literal('ehr-jepa/multinomial-probe'),
	version: z.literal(1),
	labelColumn: z.string(),
	...probedSamples,
	/** `unknownClass`: labels of tuning and held-out whose class train does not have. */
	excluded: ExcludedLabels.extend({ unknownClass: z.int() }),
	/** p = softmax_k(intercept_k + sum_i weight_ki clip((x_i - mean_i) scale_i)), clipped to +-`clip`. */
	probe: z.strictObject({
		kind: z.literal('multinomial'),
		...standardisedFeatures,
		classes: z.array(z.strictObject({ name: z.string(), intercept: z.number(), weight: z.array(z.number()) })),
	}),
	/** On held-out patients. */
	metrics: z.strictObject({ accuracy: Estimate, logLoss: Estimate, macroAuroc: Estimate }),
	/** Each class against all others, on held-out patients. */
	classes: z.array(
		z.strictObject({
			name: z.string(),
			auroc: Estimate,
			averagePrecision: Estimate,
			samples: splitCounts,
			/** Share of held-out samples; null without any. */
			prevalence: z.number().nullable(),
		}),
	),
});
export type ClassProbeFile = z.infer<typeof ClassProbeFile>;

/**
 * Fits a multinomial logistic probe on anybody's features: standardised on train, L2 chosen on tuning by log-loss, read on held-out
 * with patient-level intervals. Writes a folder with `probe.json` and `predictions-<split>.parquet` (`predicted_class`, and
 * `probability_<class>` for each class of train).
 *
 * @throws {DataError} For features, labels or splits that break a rule, and when train holds fewer than two classes.
 * @throws {OutputError} {NativeError} {AbortedError}
 */
export async function probeClasses(
	options: ProbeClassesOptions,
	operation: LongOperation = {},
): Promise<ClassProbeFile> {
	const config = parseConfig('probe', ProbeClassesOptions, options);
	return writeWholeFolder(config.out, async (folder) => {
		const finished = probeStages(operation);
		let labelColumn = '';
		const input = await readProbeInput(
			config,
			async (files) => {
				const read = await readClassLabels(files, config.labelColumn);
				labelColumn = read.column;
				return read;
			},
			operation,
		);
		finished(1);
		const { table, rowOf } = input;
		const { labels, classes, unknownClass } = knownClasses(input.labels);
		if (classes.length < 2) {
			const found = `${classes.length} in ${input.labels.train.length} samples`;
			throw labelsThatFitNothing({ file: config.labels, column: labelColumn }, 'two classes or more', found, input);
		}
		const probe = await fitClassProbe(table, rowOf, labels, classes);
		finished(2);
		const logsOf = (rows: readonly ClassLabelRow[]) =>
			classLogProbabilities(
				probe,
				table,
				rows.map((label) => rowOf.get(sampleKey(label))!),
			);
		const { models } = await classEstimates(
			{
				patients: labels.held_out.map(({ subjectId }) => subjectId),
				truth: labels.held_out.map(({ value }) => classes.indexOf(value)),
				classes,
			},
			[logsOf(labels.held_out)],
			[],
			{ draws: config.draws, level: probeLevel, seed: config.seed, signal: operation.signal },
		);
		finished(3);
		for (const split of splits) {
			const path = join(folder, `predictions-${split}.parquet`);
			await writeClassPredictions(path, labels[split], classes, logsOf(labels[split]));
		}
		const file = describe(config, labelColumn, { ...input, labels }, unknownClass, probe, models[0]!);
		await writeProbeFile(folder, file);
		finished(4);
		return file;
	});
}

function describe(
	config: z.output<typeof ProbeClassesOptions>,
	labelColumn: string,
	input: ProbeInput<ClassLabelRow>,
	unknownClass: number,
	{ l2, classes, weights, standardiser }: FittedClassProbe,
	{ accuracy, logLoss, macroAuroc, classes: estimates }: ClassEstimates,
): ClassProbeFile {
	const { table, labels } = input;
	const width = table.columns + 1;
	const heldOut = labels.held_out.length;
	return ClassProbeFile.parse({
		format: 'ehr-jepa/multinomial-probe',
		version: 1,
		labelColumn,
		...probedSamplesOf(config, input),
		excluded: { ...input.excluded, unknownClass },
		probe: {
			kind: 'multinomial',
			...standardisedFeaturesOf(l2, standardiser),
			classes: classes.map((name, k) => ({
				name,
				intercept: weights[(k + 1) * width - 1]!,
				weight: [...weights.subarray(k * width, (k + 1) * width - 1)],
			})),
		},
		metrics: { accuracy, logLoss, macroAuroc },
		classes: classes.map((name, k) => {
			const samples = eachSplit((split) => labels[split].filter(({ value }) => value === name).length);
			return { name, ...estimates[k]!, samples, prevalence: heldOut === 0 ? null : samples.held_out / heldOut };
		}),
	} satisfies ClassProbeFile);
}
