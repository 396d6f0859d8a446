import { z } from 'zod';
import { fraction, positiveInteger, seed } from '../../config.js';

export const ImportOmopOptions = z.strictObject({
	/** Draws the split of every person. */
	seed: seed.default(1),
	/** Folder with CONCEPT and CONCEPT_RELATIONSHIP where they are not beside the other tables. */
	vocabulary: z.string().optional(),
	/** Without CONCEPT: `refuse`, or make codes of ids: `OMOP_CONCEPT_ID/<id>`. */
	missingConcept: z.enum(['refuse', 'concept-id']).default('refuse'),
	/** Rows whose concepts are 0 or unknown: a code of the source value (`condition/E11.9`), or none. */
	unmapped: z.enum(['source-value', 'drop']).default('source-value'),
	/** A datetime at 00:00:00: `as-given`, as meds_etl, or `end-of-day`, as a date without time. */
	midnight: z.enum(['as-given', 'end-of-day']).default('as-given'),
	/** Import NOTE with its text. */
	notes: z.boolean().default(false),
	encoding: z.enum(['utf-8', 'latin-1']).default('utf-8'),
	/** Largest share of all rows that may be lost before the import is refused. */
	maxDropped: fraction.default(0.2),
	/** Largest share of the rows that name a concept whose concept may be missing in CONCEPT. */
	maxUnknownConcepts: fraction.default(0.2),
	/** Persons of one data file. */
	personsPerFile: positiveInteger.default(10_000),
	/** What DuckDB may hold before it spills to disk, beside the output. Not a hard cap: leave head-room. */
	memoryLimit: z.string().default('2GB'),
	/** Absent: one per core. The bytes of the output do not depend on it. */
	threads: positiveInteger.optional(),
});
export type ImportOmopOptions = z.output<typeof ImportOmopOptions>;
export type ImportOmopOptionsInput = z.input<typeof ImportOmopOptions>;
