import { z } from 'zod';

/** Position of a held-out state on the map's two axes. */
const MapPoint = z.tuple([z.number(), z.number()]);

const Question = z.strictObject({ task: z.string(), horizonDays: z.number().nullable() });

/** States of one model on their first two principal axes. */
const ModelMap = z.strictObject({
	model: z.string(),
	/** Share of the variance of training patients' standardised states that each axis holds. */
	explained: z.tuple([z.number(), z.number()]),
	/** Training states that the axes were fitted on. */
	fittedOn: z.int(),
	points: z.array(MapPoint),
});

const Risk = Question.extend({
	model: z.string(),
	/** (index dates,) what the probe of the evaluation says. */
	probability: z.array(z.number()),
	/** (index dates,) percentile interval over probes that were fitted again on resampled training patients; absent for other horizons. */
	low: z.array(z.number()).optional(),
	high: z.array(z.number()).optional(),
});

/** The course of one held-out patient. Days count from the first dated event that is no birth. */
export const Trajectory = z.strictObject({
	subjectId: z.string(),
	/** At day 0; null without a birth. */
	ageYears: z.number().nullable(),
	/** Last day with an event. */
	lastDay: z.int(),
	deathDay: z.int().nullable(),
	/** By the first part of the code, most frequent first. */
	events: z.array(z.strictObject({ kind: z.string(), days: z.array(z.int()), counts: z.array(z.int()) })),
	/** (index dates,) */
	indexDays: z.array(z.int()),
	/** Distance from the state of the index date before, a root mean square over standardised features. */
	moved: z.array(z.strictObject({ model: z.string(), distance: z.array(z.number()) })),
	risks: z.array(Risk),
	/** (index dates,) what happened; null where it is not known or not asked. */
	outcomes: z.array(Question.extend({ values: z.array(z.boolean().nullable()) })),
});
export type Trajectory = z.infer<typeof Trajectory>;

/** `trajectories.json`: what the report draws of single patients. It holds no text of a record but the first parts of codes. */
export const TrajectoriesFile = z.strictObject({
	format: z.literal('ehr-jepa/trajectories'),
	version: z.literal(1),
	/** Fingerprint of the data set. */
	dataset: z.string(),
	seed: z.int(),
	interval: z.strictObject({ refits: z.int(), level: z.number() }),
	map: z.strictObject({
		/** Held-out states that every model has; of more than are drawn a part, by seed. */
		states: z.int(),
		models: z.array(ModelMap),
		/** (points,) what happened after each; null where it is not known. */
		outcomes: z.array(Question.extend({ values: z.array(z.boolean().nullable()) })),
	}),
	/** Distance between the states of two training patients at random index dates, by model: what a distance is compared with. */
	strangers: z.array(z.strictObject({ model: z.string(), distance: z.number() })),
	patients: z.array(Trajectory),
});
export type TrajectoriesFile = z.infer<typeof TrajectoriesFile>;
