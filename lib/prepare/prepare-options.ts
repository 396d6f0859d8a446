import { z } from 'zod';
import { filePath, fraction, positiveInteger } from '../config.js';
import { LifeCodeOptions } from '../data/life-codes.js';
import { SerialiserOptions } from '../text/serialiser.js';
import { SpecialTokens } from '../tokenizer/qwen-tokenizer.js';

const StructuredTokens = z.strictObject({
	kind: z.literal('structured'),
	/** An existing vocabulary.json; absent: one is fitted on the train split. */
	vocabulary: filePath.optional(),
	/** Codes that fewer training patients have are grouped by prefix. */
	minPatients: positiveInteger.default(5),
	bins: z.int().min(2).max(100).default(10),
	/** Largest share of events whose code a given vocabulary does not know at all. */
	maxUnknown: fraction.default(0.2),
});

const TextTokens = z.strictObject({
	kind: z.literal('text'),
	/** Folder with the tokenizer of a Qwen model. */
	tokenizer: filePath,
	serialiser: SerialiserOptions.prefault({}),
	/** What a special token written in a record becomes: the ordinary text of its characters, or its id. */
	specialTokens: SpecialTokens.default('text'),
	/** Rows of the embedding; absent: as config.json beside the tokenizer says, else 151,936 for Qwen. */
	vocabSize: positiveInteger.optional(),
});

export const PrepareOptions = z.strictObject({
	/** What events become. */
	tokens: z.discriminatedUnion('kind', [StructuredTokens, TextTokens]).prefault({ kind: 'structured' }),
	/** Codes of birth and death beside the usual ones. */
	lifeCodes: LifeCodeOptions.prefault({}),
	/** Events that a thread is given at a time, and that one data file holds; absent: by the size of the data set. */
	eventsPerPart: positiveInteger.optional(),
	/** Absent: one per core. The number changes nothing in what is written. */
	threads: positiveInteger.optional(),
});
export type PrepareOptions = z.input<typeof PrepareOptions>;
export type PrepareConfig = z.output<typeof PrepareOptions>;
