import { z } from 'zod';

/** A number with its patient-level bootstrap interval; null with the reason when it is undefined. Never NaN. */
export const Estimate = z.strictObject({
	value: z.number().nullable(),
	/** Percentile interval; null when the estimate is undefined. */
	low: z.number().nullable(),
	high: z.number().nullable(),
	/** Present exactly when value is null: `one class only`. */
	undefinedReason: z.string().optional(),
});
export type Estimate = z.infer<typeof Estimate>;
