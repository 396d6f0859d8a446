import { z } from 'zod';
import { CohortFlow, StoreSummary } from '../store/manifest.js';
import { comparedMetrics } from './binary-metrics.js';
import { ClassEvaluation } from './classes/class-file.js';
import { Estimate } from './estimate.js';
import { TimeToEvent } from './survival/survival-file.js';

export { Estimate } from './estimate.js';

const sampleCounts = {
	nSamples: z.int(),
	nPatients: z.int(),
};

/** What became of the rows of a file of states. */
export const StatesRead = z.strictObject({
	/** Index dates with a state. */
	rows: z.int(),
	/** Index dates without one: no model is read on them. */
	withoutState: z.int(),
	/** Rows that are at no index date; they are not read. */
	otherRows: z.int(),
	/** What the states were made from, as their file says; null when it says nothing. */
	source: z
		.strictObject({
			run: z.string(),
			step: z.string(),
			store: z.string(),
			pooling: z.string().nullable(),
			encoder: z.string().nullable(),
			contextTokens: z.number(),
		})
		.nullable(),
});
export type StatesRead = z.infer<typeof StatesRead>;

export const EvaluatedModel = z.strictObject({
	/** Key that the rows below use: `sft`, `sft+jepa`, `untrained`, `counts`. */
	name: z.string(),
	/** For people: `SFT + JEPA`. */
	label: z.string(),
	/** `ceiling`: no model but what can be known; it has the true state alone. */
	kind: z.enum(['encoder', 'untrained', 'counts', 'ceiling']),
	description: z.string(),
	/** Run folder relative to the evaluation file, for trained encoders. */
	run: z.string().optional(),
	/** Of its embeddings; absent for counts. */
	states: StatesRead.optional(),
});
export type EvaluatedModel = z.infer<typeof EvaluatedModel>;

/** How well the probabilities of a probe agree with what happened. */
const CalibrationResult = z.strictObject({
	/** Mean gap of predicted and observed in ten bins, each weighted by its predictions. */
	expectedError: Estimate,
	/** Of a logistic regression of the outcome on the logit; 1 is right. */
	slope: Estimate,
	/** The same with the slope held at 1; 0 is right. */
	intercept: Estimate,
	/** Bins that hold predictions, ascending. */
	curve: z.array(z.strictObject({ predicted: z.number(), observed: z.number(), weight: z.number() })),
});

/** One frozen-probe result on held-out patients. */
export const ProbeResult = z.strictObject({
	model: z.string(),
	/** `death`, `admission` ... */
	task: z.string(),
	/** Days after the index date; null for a label set that came without one. */
	horizonDays: z.number().nullable(),
	auroc: Estimate,
	/** Average precision (step-wise). */
	averagePrecision: Estimate,
	brier: Estimate,
	/** Absent in files of before it was measured. */
	calibration: CalibrationResult.optional(),
	...sampleCounts,
	nPositives: z.int(),
	/** Share of positives; null without samples. */
	prevalence: z.number().nullable().optional(),
	/** Samples and positives the probe was fitted on. */
	nTrainSamples: z.int(),
	nTrainPositives: z.int(),
	/** L2 weight chosen on the tuning split; null when no linear probe was fitted. */
	l2: z.number().nullable(),
});
export type ProbeResult = z.infer<typeof ProbeResult>;

/** What the same probe says of a part of the held-out samples: those of an index rule, a time since an anchor, a subgroup. */
export const StratumResult = z.strictObject({
	model: z.string(),
	task: z.string(),
	horizonDays: z.number().nullable(),
	/** `rule`, `days since <rule>`, `sex`, `age`, `year`, or the beginning of a code. */
	by: z.string(),
	/** Which part: `visit`, `90`, `F`, `65 to 74`. */
	group: z.string(),
	auroc: Estimate,
	averagePrecision: Estimate,
	brier: Estimate,
	calibration: CalibrationResult.omit({ curve: true }),
	...sampleCounts,
	nPositives: z.int(),
	prevalence: z.number().nullable(),
});
export type StratumResult = z.infer<typeof StratumResult>;

/** Difference a - b of two models on the same bootstrap resamples. */
export const PairedDifference = z.strictObject({
	a: z.string(),
	b: z.string(),
	task: z.string(),
	horizonDays: z.number().nullable(),
	metric: z.enum([...comparedMetrics, 'r2']),
	difference: Estimate,
});
export type PairedDifference = z.infer<typeof PairedDifference>;

/** A model fitted on small training sets, all models on the same ones; read on all held-out samples. */
export const TrainingSizeResult = z.strictObject({
	model: z.string(),
	task: z.string(),
	horizonDays: z.number().nullable(),
	/** `shots`: `size` samples of each class. `share`: this share of the patients of train. */
	kind: z.enum(['shots', 'share']),
	size: z.number(),
	/** Draws of this size. */
	replicates: z.int(),
	/** Mean over the draws; the interval holds the luck of held-out patients and of draws. */
	auroc: Estimate,
	averagePrecision: Estimate,
	/** Standard deviation of the AUROC over the draws; null for one draw. */
	deviation: z.number().nullable(),
	...sampleCounts,
	nPositives: z.int(),
	prevalence: z.number().nullable(),
	/** Mean over the draws. */
	nTrainSamples: z.number(),
	nTrainPositives: z.number(),
});
export type TrainingSizeResult = z.infer<typeof TrainingSizeResult>;

/** In which metrics models are compared within parts of the samples. */
export const comparedInStrata = [
	'auroc',
	'averagePrecision',
	'brier',
] as const satisfies readonly (typeof comparedMetrics)[number][];

/** Difference a - b of two models on the same resamples of a part of the held-out samples. */
export const StratumDifference = PairedDifference.extend({
	by: z.string(),
	group: z.string(),
	metric: z.enum(comparedInStrata),
});
export type StratumDifference = z.infer<typeof StratumDifference>;

/** Ridge probe for the true latent state of a simulated cohort. */
export const LatentStateResult = z.strictObject({
	model: z.string(),
	/** Latent axis name, or `all` for the variance-weighted mean over axes. */
	axis: z.string(),
	/** 0 is the state at the index date. */
	horizonDays: z.number(),
	r2: Estimate,
	...sampleCounts,
	l2: z.number().nullable(),
});
export type LatentStateResult = z.infer<typeof LatentStateResult>;

/** Mean squared error over features and held-out samples, in states that are layer-normalised; null without samples. */
export const StateErrors = z.strictObject({
	/** Of the predicted state. */
	predicted: z.number().nullable(),
	/** Of the state at the index date. */
	copy: z.number().nullable(),
	/** Of the mean state that training patients reach. */
	mean: z.number().nullable(),
	/** Samples with an event between index date and horizon. */
	nSamples: z.int(),
});
export type StateErrors = z.infer<typeof StateErrors>;

/** A model whose predictor maps (state, time ahead), rolled out on a simulated cohort. */
export const RolloutResult = z.strictObject({
	model: z.string(),
	horizonDays: z.number(),
	/** Of the true latent state at the horizon, all axes weighted by their variance. */
	r2: z.strictObject({
		/** A ridge probe on the state at the index date, fitted for this horizon. */
		direct: Estimate,
		/** The probe for the state now, applied to the predicted state. */
		rollout: Estimate,
		/** The same probe applied to the state at the index date, as if nothing changed. */
		copy: Estimate,
	}),
	/** rollout - copy on the same resamples. */
	gain: Estimate,
	...sampleCounts,
	stateErrors: StateErrors,
});
export type RolloutResult = z.infer<typeof RolloutResult>;

/** `evaluation.json`: every number of the report. */
export const EvaluationFile = z.strictObject({
	format: z.literal('ehr-jepa/evaluation'),
	version: z.literal(1),
	createdAt: z.string(),
	dataset: z.strictObject({ name: z.string(), fingerprint: z.string(), simulated: z.boolean() }),
	seed: z.int(),
	bootstrap: z.strictObject({ draws: z.int(), level: z.number(), unit: z.literal('patient') }),
	indexDates: z.strictObject({ train: z.int(), tuning: z.int(), held_out: z.int(), rule: z.string() }),
	tasks: z.array(z.strictObject({ name: z.string(), label: z.string(), definition: z.string() })),
	models: z.array(EvaluatedModel),
	probes: z.array(ProbeResult),
	/** By index rule, days since an anchor, calendar year and subgroup. */
	strata: z.array(StratumResult).default([]),
	/** Empty unless it was asked for. */
	trainingSizes: z.array(TrainingSizeResult).default([]),
	/** Within each of these parts. */
	strataDifferences: z.array(StratumDifference).default([]),
	/** Absent unless the tasks hold times to events. */
	timeToEvent: TimeToEvent.optional(),
	/** Absent unless the tasks hold labels of several classes. */
	classes: ClassEvaluation.optional(),
	latentState: z.array(LatentStateResult),
	/** Empty unless a model has rollouts. */
	rollout: z.array(RolloutResult).default([]),
	differences: z.array(PairedDifference),
	cohortFlow: CohortFlow,
	/** Of the token store; absent when none was named. */
	data: StoreSummary.optional(),
});
export type EvaluationFile = z.infer<typeof EvaluationFile>;
