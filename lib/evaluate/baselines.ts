import type { BaselineInput } from './baseline-tables.js';
import { BoostedReader, boostingModel } from './boosting.js';
import { countFeatures, countsModel } from './count-features.js';
import { demographicFeatures, demographicsModel } from './demographic-features.js';
import type { EvaluatedModel } from './evaluation-file.js';
import type { FeatureTable } from './features.js';
import type { Reader } from './reading.js';
import { valueFeatures, valuesModel } from './value-features.js';

/** What every model is compared with, without training: features that the records themselves give. */
export interface Baseline {
	readonly about: EvaluatedModel;
	readonly features: (input: BaselineInput) => Promise<FeatureTable>;
	/** Absent: linear probes. */
	readonly reader?: (table: FeatureTable) => Reader;
}

/** In the order of the tables, all read by linear probes. */
export const baselines: readonly Baseline[] = [
	{ about: demographicsModel, features: demographicFeatures },
	{ about: countsModel, features: countFeatures },
	{ about: valuesModel, features: valueFeatures },
];

/** The same features as those of "Counts and values", read by boosted trees. */
export const boostedBaseline: Baseline = {
	about: boostingModel,
	features: valueFeatures,
	reader: (table) => new BoostedReader(table),
};
