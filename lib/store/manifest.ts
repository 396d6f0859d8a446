import { z } from 'zod';

const SplitCounts = z.strictObject({
	patients: z.int(),
	/** Patients with at least two days: the others cannot be cut into context and future. */
	trainable: z.int(),
	events: z.int(),
	tokens: z.int(),
	days: z.int(),
	/** Tokens per patient. */
	lengthPercentiles: z.strictObject({
		p0: z.int(),
		p25: z.int(),
		p50: z.int(),
		p75: z.int(),
		p90: z.int(),
		p100: z.int(),
	}),
});
export type SplitCounts = z.infer<typeof SplitCounts>;

/** `manifest.json` of a token store. */
export const StoreManifest = z.strictObject({
	format: z.literal('ehr-jepa/token-store'),
	version: z.literal(1),
	package: z.string(),
	dataset: z.strictObject({
		name: z.string(),
		fingerprint: z.string(),
		etl: z.strictObject({ name: z.string(), version: z.string() }),
	}),
	vocabulary: z.strictObject({ fingerprint: z.string(), size: z.int() }),
	/** SHA-256 over data and vocabulary: what a training run was made on. */
	fingerprint: z.string(),
	splits: z.strictObject({ train: SplitCounts, tuning: SplitCounts, held_out: SplitCounts }),
	/** What became of the events. */
	coverage: z.strictObject({
		events: z.int(),
		known: z.int(),
		backed_off: z.int(),
		unknown: z.int(),
		births: z.int(),
		valuesBinned: z.int(),
		valuesWithoutBin: z.int(),
		/** Rows whose only value is text, which the structured tokenizer does not read. */
		textOnly: z.int(),
	}),
	cohortFlow: z.array(
		z.strictObject({
			stage: z.string(),
			patients: z.int(),
			events: z.int().optional(),
			tokens: z.int().optional(),
			note: z.string().optional(),
		}),
	),
	notes: z.array(z.string()),
});
export type StoreManifest = z.infer<typeof StoreManifest>;
