import { z } from 'zod';
import { type TokenKind, tokenKindNames } from '../../tokenizer/token-kinds.js';
import { ValueReferences } from './value-references.js';

const KindLoss = z.strictObject({
	tokens: z.int(),
	/** Mean negative log-likelihood, nats per token. */
	loss: z.number(),
});

/** What the instruments say of a fixed set of tuning patients: a line of `metrics.jsonl` with `kind: "instruments"`. */
export const InstrumentMetrics = z.strictObject({
	kind: z.literal('instruments'),
	/** Updates made; 0 before the first. */
	step: z.int(),
	patients: z.int(),
	/** Tokens of the windows' futures, whose loss is read. */
	tokens: z.int(),
	/** By kind of token; kinds that do not occur are absent. Absent for tokens of text. */
	losses: z
		.strictObject(
			Object.fromEntries(tokenKindNames.map((name) => [name, KindLoss.optional()])) as Record<
				TokenKind,
				z.ZodOptional<typeof KindLoss>
			>,
		)
		.optional(),
	/** Simple predictors on the same value tokens. */
	valueReferences: ValueReferences.optional(),
	/** Linear probe for the true state now; absent where nobody knows it. */
	state: z
		.strictObject({
			patients: z.int(),
			samples: z.int(),
			/** R², states as the mean over tokens. */
			mean: z.number(),
			/** R², states of the newest token. */
			last: z.number(),
			/** R² of the same probe on the mean and last value of each test among the same tokens; absent for tokens of text. */
			values: z.number().optional(),
		})
		.optional(),
	readMs: z.number(),
});
export type InstrumentMetrics = z.infer<typeof InstrumentMetrics>;
