import { z } from 'zod';
import { Estimate } from '../estimate.js';

/** Of all classes together, in which models are compared. */
export const comparedClassMetrics = ['accuracy', 'logLoss', 'macroAuroc'] as const;
/** Of one class against all others, in which models are compared. */
export const comparedOneClassMetrics = ['auroc', 'averagePrecision'] as const;

const of = { model: z.string(), task: z.string() };
const together = {
	/** Share of samples whose likeliest class is theirs. */
	accuracy: Estimate,
	/** Mean of -log of the probability of the true class. */
	logLoss: Estimate,
	/** Mean over classes of the AUROC of one against all others. */
	macroAuroc: Estimate,
};
const counts = { nSamples: z.int(), nPatients: z.int() };

/** What the probe of one model says of classes, on held-out patients. */
export const ClassResult = z.strictObject({
	...of,
	...together,
	/** Each class of train against all others. */
	classes: z.array(
		z.strictObject({
			name: z.string(),
			auroc: Estimate,
			averagePrecision: Estimate,
			/** Held-out samples of the class, and their share; null without any samples. */
			nPositives: z.int(),
			prevalence: z.number().nullable(),
			nTrainPositives: z.int(),
		}),
	),
	...counts,
	nTrainSamples: z.int(),
	/** Chosen on tuning; null where no linear probe was fitted. */
	l2: z.number().nullable(),
});
export type ClassResult = z.infer<typeof ClassResult>;

/** The same probe on a part of the held-out samples. */
export const ClassStratum = z.strictObject({ ...of, by: z.string(), group: z.string(), ...together, ...counts });
export type ClassStratum = z.infer<typeof ClassStratum>;

/** Difference a - b of two models on the same resamples; of a part when `by` is not null. */
export const ClassDifference = z.strictObject({
	a: z.string(),
	b: z.string(),
	task: z.string(),
	by: z.string().nullable(),
	group: z.string().nullable(),
	/** Null for metrics of all classes together. */
	class: z.string().nullable(),
	metric: z.enum([...comparedClassMetrics, ...comparedOneClassMetrics]),
	difference: Estimate,
});
export type ClassDifference = z.infer<typeof ClassDifference>;

/** Everything about labels of several classes in an evaluation. */
export const ClassEvaluation = z.strictObject({
	tasks: z.array(
		z.strictObject({
			name: z.string(),
			label: z.string(),
			definition: z.string(),
			/** Those of train. */
			classes: z.array(z.string()),
			/** Samples of tuning and held-out whose class train does not have: left out. */
			unknownClass: z.int(),
		}),
	),
	results: z.array(ClassResult),
	strata: z.array(ClassStratum),
	differences: z.array(ClassDifference),
});
export type ClassEvaluation = z.infer<typeof ClassEvaluation>;
