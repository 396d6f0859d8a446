import { z } from 'zod';
import { Estimate } from '../estimate.js';

/** How the risk of an event is read from features. */
export const survivalProbeKinds = ['cox', 'hazard'] as const;
export type SurvivalProbeKind = (typeof survivalProbeKinds)[number];

/** Those in which models are compared. */
export const comparedSurvivalMetrics = ['concordance', 'ipcwConcordance', 'integratedAuroc'] as const;

/** Every number of a risk score on held-out patients. */
export const survivalNumbers = {
	/** Harrell's C. */
	concordance: Estimate,
	/** Uno's C, up to the last horizon. */
	ipcwConcordance: Estimate,
	/** Mean of the AUROCs, weighted by the events that come between horizons. */
	integratedAuroc: Estimate,
	/** Cumulative/dynamic AUROC at each horizon. */
	aurocs: z.array(
		z.strictObject({
			horizonDays: z.number(),
			auroc: Estimate,
			/** Samples with the event up to the horizon, and samples followed beyond it. */
			nEvents: z.int(),
			nBeyond: z.int(),
		}),
	),
};

const survivalCounts = { nSamples: z.int(), nPatients: z.int(), nEvents: z.int() };
const of = { model: z.string(), task: z.string() };

/** What a probe of one model says of the time to an event. */
export const SurvivalResult = z.strictObject({
	...of,
	...survivalNumbers,
	...survivalCounts,
	nTrainSamples: z.int(),
	nTrainEvents: z.int(),
	/** Chosen on tuning; null when no probe could be fitted. */
	l2: z.number().nullable(),
});
export type SurvivalResult = z.infer<typeof SurvivalResult>;

/** The same probe on a part of the held-out samples. */
export const SurvivalStratum = z.strictObject({
	...of,
	by: z.string(),
	group: z.string(),
	...survivalNumbers,
	...survivalCounts,
});
export type SurvivalStratum = z.infer<typeof SurvivalStratum>;

/** Difference a - b of two models on the same resamples; of a part when `by` is not null. */
export const SurvivalDifference = z.strictObject({
	a: z.string(),
	b: z.string(),
	task: z.string(),
	by: z.string().nullable(),
	group: z.string().nullable(),
	metric: z.enum(comparedSurvivalMetrics),
	difference: Estimate,
});
export type SurvivalDifference = z.infer<typeof SurvivalDifference>;

/** Everything about times to events in an evaluation. */
export const TimeToEvent = z.strictObject({
	probe: z.enum(survivalProbeKinds),
	tasks: z.array(
		z.strictObject({
			name: z.string(),
			label: z.string(),
			definition: z.string(),
			horizonsDays: z.array(z.number()),
		}),
	),
	results: z.array(SurvivalResult),
	strata: z.array(SurvivalStratum),
	differences: z.array(SurvivalDifference),
});
export type TimeToEvent = z.infer<typeof TimeToEvent>;
