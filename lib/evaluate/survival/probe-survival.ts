import { join } from 'node:path';
import { z } from 'zod';
import { parseConfig, positiveInteger } from '../../config.js';
import { writeWholeFolder } from '../../files/whole.js';
import { sampleKey } from '../../tasks/read.js';
import { readSurvivalLabels, type SurvivalLabelRow, survivalColumns } from '../../tasks/survival-labels.js';
import { type LongOperation, splits } from '../../types.js';
import {
	labelsThatFitNothing,
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
	splitCounts,
} from '../probe-input.js';
import { survivalNumbers, survivalProbeKinds } from './survival-file.js';
import { type SurvivalNumbers, survivalEstimates } from './survival-intervals.js';
import { writeSurvivalPredictions } from './survival-predictions.js';
import {
	type FittedSurvivalProbe,
	fitSurvivalProbe,
	followUpOf,
	riskWithin,
	survivalScores,
} from './survival-probe.js';

export const ProbeSurvivalOptions = z.strictObject({
	...probeInputOptions,
	/** Cox proportional hazards with Efron's ties, or hazards of discrete periods. */
	kind: z.enum(survivalProbeKinds).default('cox'),
	/** Column of the labels: days from the prediction time to the event or to the end of follow-up. */
	time: z.string().min(1).default(survivalColumns.time),
	/** Column of the labels: true, or 1, where the event was seen. */
	event: z.string().min(1).default(survivalColumns.event),
	/** Where the AUROC is read; in the unit of the times. */
	horizonsDays: z.array(positiveInteger).min(1).default([30, 180, 365]),
});
export type ProbeSurvivalOptions = z.input<typeof ProbeSurvivalOptions>;

const coefficients = { ...standardisedFeatures, weight: z.array(z.number()) };

/** `probe.json` of a probe for the time to an event. */
export const SurvivalProbeFile = z.strictObject({
	format: z.literal('ehr-jepa/survival-probe'),
	version: z.literal(1),
	...probedSamples,
	events: splitCounts,
	/** score = sum_i weight_i clip((x_i - mean_i) scale_i), clipped to +-`clip`. */
	probe: z.discriminatedUnion('kind', [
		z.strictObject({
			kind: z.literal('cox'),
			...coefficients,
			/** Breslow's cumulative hazard of score 0 at each horizon: the risk is 1 - exp(-cumulativeHazard exp(score)). */
			baseline: z.array(z.strictObject({ horizonDays: z.number(), cumulativeHazard: z.number() })),
		}),
		z.strictObject({
			kind: z.literal('hazard'),
			...coefficients,
			/** The hazard of a period is 1 / (1 + exp(-(intercept + score))). */
			periods: z.array(z.strictObject({ endDays: z.number(), intercept: z.number() })),
		}),
	]),
	/** On held-out patients. */
	metrics: z.strictObject(survivalNumbers),
});
export type SurvivalProbeFile = z.infer<typeof SurvivalProbeFile>;

/**
 * Fits a probe for the time to an event on anybody's features: standardised on train, L2 chosen on tuning, read on held-out with
 * patient-level intervals. Writes a folder with `probe.json` (coefficients, metrics, counts) and `predictions-<split>.parquet`
 * (`risk_score`, and `risk_<n>d` for each horizon).
 *
 * @throws {DataError} For features, labels or splits that break a rule, and when train has no event.
 * @throws {OutputError} {NativeError} {AbortedError}
 */
export async function probeSurvival(
	options: ProbeSurvivalOptions,
	operation: LongOperation = {},
): Promise<SurvivalProbeFile> {
	const config = parseConfig('probe', ProbeSurvivalOptions, options);
	const horizons = [...new Set(config.horizonsDays)].sort((a, b) => a - b);
	return writeWholeFolder(config.out, async (folder) => {
		const finished = probeStages(operation);
		const { time, event } = config;
		const input = await readProbeInput(config, (files) => readSurvivalLabels(files, { time, event }), operation);
		finished(1);
		const { table, rowOf, labels } = input;
		const fitted = await fitSurvivalProbe(config.kind, table, rowOf, labels);
		if ('undefinedReason' in fitted) {
			const rule = 'an event and a sample that outlives it';
			throw labelsThatFitNothing({ file: config.labels, column: event }, rule, fitted.undefinedReason, input);
		}
		finished(2);
		const { models } = await survivalEstimates(
			{
				patients: labels.held_out.map(({ subjectId }) => subjectId),
				followUp: followUpOf(labels.held_out),
				censoring: fitted.censoring,
				horizons,
			},
			[fitted.scores],
			[],
			{ draws: config.draws, level: probeLevel, seed: config.seed, signal: operation.signal },
		);
		finished(3);
		const file = describe(config, horizons, input, fitted, models[0]!);
		for (const split of splits) {
			const rows = labels[split].map((label) => rowOf.get(sampleKey(label))!);
			const scores = survivalScores(fitted, table, rows);
			const path = join(folder, `predictions-${split}.parquet`);
			await writeSurvivalPredictions(path, labels[split], scores, fitted.baseline, horizons);
		}
		await writeProbeFile(folder, file);
		finished(4);
		return file;
	});
}

type ParsedOptions = z.output<typeof ProbeSurvivalOptions>;

function describe(
	config: ParsedOptions,
	horizons: readonly number[],
	input: ProbeInput<SurvivalLabelRow>,
	{ l2, weights, standardiser, baseline }: FittedSurvivalProbe,
	metrics: SurvivalNumbers,
): SurvivalProbeFile {
	const shared = { ...standardisedFeaturesOf(l2, standardiser), weight: [...weights] };
	return SurvivalProbeFile.parse({
		format: 'ehr-jepa/survival-probe',
		version: 1,
		...probedSamplesOf(config, input),
		events: eachSplit((split) => input.labels[split].filter(({ event }) => event).length),
		probe:
			baseline.kind === 'cox'
				? {
						kind: 'cox',
						...shared,
						baseline: horizons.map((horizonDays) => ({
							horizonDays,
							cumulativeHazard: -Math.log1p(-riskWithin(baseline, horizonDays, 0)),
						})),
					}
				: {
						kind: 'hazard',
						...shared,
						periods: baseline.ends.map((endDays, i) => ({ endDays, intercept: baseline.intercepts[i]! })),
					},
		metrics,
	} satisfies SurvivalProbeFile);
}
