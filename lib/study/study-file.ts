import { z } from 'zod';
import { Estimate } from '../evaluate/evaluation-file.js';
import { CollapseMonitors } from '../objective/collapse-monitors.js';
import { StudyOptions } from './options.js';

/**
 * What a row measures. `auroc`, `time-dependent-auroc` and the concordances (Harrell's, and Uno's with inverse shares still followed) are of
 * tasks. Losses are nats per token and mean squares per position; the two ratios are to a null model.
 */
const quantities = [
	'auroc',
	'concordance',
	'ipcw-concordance',
	'time-dependent-auroc',
	'r2',
	'next-token-loss',
	'latent-loss',
	'latent-loss/batch-mean',
	'latent-loss/copy-context',
] as const;
export type Quantity = (typeof quantities)[number];

/** How much a number differs between seeds: the luck of initial weights and windows, which no interval here holds. */
export const OverSeeds = z.strictObject({
	seeds: z.int(),
	/** Standard deviation (n - 1). */
	sd: z.number(),
	low: z.number(),
	high: z.number(),
});
export type OverSeeds = z.infer<typeof OverSeeds>;

/** One number of a study. */
export const StudyRow = z.strictObject({
	model: z.string(),
	/** The row is the paired difference `model` minus this one; null for a value of its own. */
	minus: z.string().nullable(),
	/** Null: the mean over seeds, or a model without a seed. */
	seed: z.int().nullable(),
	quantity: z.enum(quantities),
	/** Task, `mean of tasks`, `latent state` or `held-out windows`. */
	task: z.string(),
	horizonDays: z.number().nullable(),
	estimate: Estimate,
	/** Of the rows of single seeds that this one is the mean of; null for less than two. */
	overSeeds: OverSeeds.nullable(),
	/** Index dates, tokens or predicted positions. */
	nSamples: z.int(),
	nPatients: z.int(),
	/** Positive samples, or those with the event (up to the horizon); null where samples have no outcome, or are those of several tasks. */
	nPositives: z.int().nullable(),
});
export type StudyRow = z.infer<typeof StudyRow>;

/** `study.json`: every number of a study. The same options give the same bytes, however often it was interrupted. */
export const StudyFile = z.strictObject({
	format: z.literal('ehr-jepa/study'),
	version: z.literal(1),
	package: z.string(),
	torch: z.string(),
	options: StudyOptions,
	dataset: z.strictObject({
		name: z.string(),
		fingerprint: z.string(),
		patients: z.strictObject({ train: z.int(), tuning: z.int(), held_out: z.int() }),
		/** Tokens of the training patients. */
		trainTokens: z.int(),
	}),
	indexDates: z.strictObject({ train: z.int(), tuning: z.int(), held_out: z.int(), rule: z.string() }),
	budget: z.strictObject({
		parameters: z.int(),
		runs: z.int(),
		stepsPerRun: z.int(),
		/** Trunk tokens that the variants of a seed saw, by seed. */
		tokensPerRun: z.array(z.int()),
	}),
	bootstrap: z.strictObject({ draws: z.int(), level: z.number(), unit: z.literal('patient'), covers: z.string() }),
	models: z.array(
		z.strictObject({
			name: z.string(),
			label: z.string(),
			kind: z.enum(['encoder', 'untrained', 'counts', 'ceiling']),
			description: z.string(),
		}),
	),
	tasks: z.array(z.strictObject({ name: z.string(), label: z.string(), definition: z.string() })),
	rows: z.array(StudyRow),
	/** Means over held-out batches at the end of training. */
	collapse: z.array(z.strictObject({ model: z.string(), seed: z.int(), monitors: CollapseMonitors })),
});
export type StudyFile = z.infer<typeof StudyFile>;
