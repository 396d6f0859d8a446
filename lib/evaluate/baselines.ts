import type { BaselineInput } from './baseline-tables.js';
import { countFeatures, countsModel } from './count-features.js';
import { demographicFeatures, demographicsModel } from './demographic-features.js';
import type { EvaluatedModel } from './evaluation-file.js';
import type { FeatureTable } from './features.js';
import { valueFeatures, valuesModel } from './value-features.js';

/** What every model is compared with, without training: features that the records themselves give. */
export interface Baseline {
	readonly about: EvaluatedModel;
	readonly features: (input: BaselineInput) => Promise<FeatureTable>;
}

/** In the order of the tables. */
export const baselines: readonly Baseline[] = [
	{ about: demographicsModel, features: demographicFeatures },
	{ about: countsModel, features: countFeatures },
	{ about: valuesModel, features: valueFeatures },
];
