import { z } from 'zod';
import { isObject } from '../found.js';
import type { ParallelOptions } from './parallel-options.js';
import { TrainConfig } from './train-config.js';

/** What a run did whose configuration lacks an option, where the default has become another since. */
const formerDefaults = { computeDtype: 'float32', instruments: null };
/** The options of a run, which may be from before some of them existed. */
const SavedTrainConfig = z.preprocess(
	(saved) => (isObject(saved) ? { ...formerDefaults, ...saved } : saved),
	TrainConfig,
);

/** `config.json` of a run folder: what the run is, and which data and initial weights it was made with. */
export const RunConfig = z.strictObject({
	format: z.literal('ehr-jepa/run'),
	version: z.literal(1),
	/** Version of this package. */
	package: z.string(),
	torch: z.string(),
	train: SavedTrainConfig,
	/** Updates of a run that was extended; its schedules end at `train.steps`. Absent in one that was not. */
	extendedTo: z.int().positive().optional(),
	/** sha256 over the files of `train.initialWeights`; null without. */
	initialWeights: z.string().nullable(),
	data: z.strictObject({
		/** Fingerprint of the token store. */
		store: z.string(),
		/** Fingerprints of the data set and of its splits; absent in runs from before they were kept. */
		dataset: z.string().optional(),
		splits: z.string().optional(),
		/** Fingerprint of the vocabulary: which token a row of the embedding is. */
		vocabulary: z.string(),
		vocabSize: z.int().positive(),
		/** Null: trained by next tokens alone. */
		maskTokenId: z.int().nonnegative().nullable(),
	}),
});
export type RunConfig = z.infer<typeof RunConfig>;

/** Updates that a run makes in all. */
export function updatesOf({ train, extendedTo }: RunConfig): number {
	return extendedTo ?? train.steps;
}

/** A run that goes on to more updates, or shared otherwise among its ranks; the same object where it is as it was. */
export function wentOnWith(
	run: RunConfig,
	steps: number | undefined,
	kind: ParallelOptions['kind'] | undefined,
): RunConfig {
	if (steps === undefined && (kind === undefined || kind === run.train.parallel.kind)) return run;
	const { train, extendedTo } = run;
	const parallel = { ...train.parallel, kind: kind ?? train.parallel.kind };
	return { ...run, train: { ...train, parallel }, extendedTo: steps ?? extendedTo };
}
