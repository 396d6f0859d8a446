import type { FeatureTable } from './features.js';
import { rowsByKey } from './probe.js';

/** A table of features by sample, which probes of one model are fitted on. */
export abstract class TableReader {
	readonly table: FeatureTable;
	/** Samples that have features, and their rows. */
	readonly samples: ReadonlyMap<string, number>;

	constructor(table: FeatureTable) {
		this.table = table;
		this.samples = rowsByKey(table);
	}
}
