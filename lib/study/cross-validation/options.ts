import { z } from 'zod';
import { filePath, positiveInteger } from '../../config.js';
import { LifeCodeOptions } from '../../data/life-codes.js';
import { TaskDefinition } from '../../tasks/definitions.js';
import { comparisonOptions } from '../options.js';

/** Folds that leave patients to train on, to choose on and to hold out. */
const fewestFolds = 3;

/** Options of a cross-validation. */
export const CrossValidationOptions = z.strictObject({
	/** MEDS data set. Its own splits are not used; subjects in none are left out. */
	meds: filePath,
	/** Each patient is held out in one, chosen on in another and trained on in the rest. */
	folds: z.int().min(fewestFolds).default(5),
	/** Divisions into folds; each also draws initial weights and windows anew. */
	repeats: positiveInteger.default(3),
	...comparisonOptions,
	variants: comparisonOptions.variants.default(['sft', 'smb-structure']),
	/** What is predicted; null takes the usual tasks of the data set. */
	tasks: z
		.array(
			TaskDefinition.refine(
				({ kind }) => kind !== 'time-to-event',
				'must be a task of yes and no: models are compared on times to events by evaluate, and by study',
			),
		)
		.min(1)
		.nullable()
		.default(null),
	/** Codes of birth and death beside the usual ones. */
	lifeCodes: LifeCodeOptions.prefault({}),
});
export type CrossValidationOptions = z.input<typeof CrossValidationOptions>;
export type ParsedCrossValidationOptions = z.output<typeof CrossValidationOptions>;

/** What the files of a folder depend on, beside the data, which may be moved. The others only choose among them, or add to them. */
export function fixedOptions(options: ParsedCrossValidationOptions): Record<string, unknown> {
	const { meds: _meds, repeats: _repeats, draws: _draws, ...fixed } = options;
	return fixed;
}
