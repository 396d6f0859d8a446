import { z } from 'zod';
import { StudyFile } from '../study-file.js';
import { CrossValidationOptions } from './options.js';

/** One task and horizon: what its numbers stand on. */
const TaskCoverage = z.strictObject({
	name: z.string(),
	label: z.string(),
	definition: z.string(),
	horizonDays: z.number().nullable(),
	/** Pairs of a repeat and a fold whose probes could be fitted, of all; the rest gives no number. */
	foldsRead: z.int(),
	folds: z.int(),
	/** Why the others could not, with how many. */
	notRead: z.array(z.strictObject({ reason: z.string(), folds: z.int() })),
	/** Samples left out in a fold since a model has no features of them, summed over folds of all repeats. */
	withoutState: z.int(),
});

/** `cross-validation.json`: every number of a cross-validation. The same options give the same bytes, however often it was interrupted. */
export const CrossValidationFile = z.strictObject({
	format: z.literal('ehr-jepa/cross-validation'),
	version: z.literal(1),
	package: z.string(),
	torch: z.string(),
	options: CrossValidationOptions,
	dataset: z.strictObject({ name: z.string(), fingerprint: z.string(), patients: z.int() }),
	indexDates: z.strictObject({ number: z.int(), rule: z.string() }),
	bootstrap: StudyFile.shape.bootstrap,
	models: StudyFile.shape.models,
	tasks: z.array(TaskCoverage),
	/** `seed` is the repeat. */
	rows: StudyFile.shape.rows,
});
export type CrossValidationFile = z.infer<typeof CrossValidationFile>;
