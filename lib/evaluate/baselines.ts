import type { LifeCodes } from '../data/life-codes.js';
import type { MedsDataset } from '../data/meds.js';
import type { IndexDateRow } from '../tasks/read.js';
import { countFeatures, countsModel } from './count-features.js';
import type { EvaluatedModel } from './evaluation-file.js';
import type { FeatureTable } from './features.js';
import { valueFeatures, valuesModel } from './value-features.js';

/** What every model is compared with, without training: features that the records themselves give. */
export interface Baseline {
	readonly about: EvaluatedModel;
	readonly features: (
		dataset: MedsDataset,
		indexDates: readonly IndexDateRow[],
		lifeCodes: LifeCodes,
		signal?: AbortSignal,
	) => Promise<FeatureTable>;
}

/** In the order of the tables. */
export const baselines: readonly Baseline[] = [
	{ about: countsModel, features: countFeatures },
	{ about: valuesModel, features: valueFeatures },
];
