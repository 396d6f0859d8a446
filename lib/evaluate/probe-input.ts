import { stat } from 'node:fs/promises';
import { z } from 'zod';
import { filePath, seed } from '../config.js';
import { AbortedError } from '../errors.js';
import { hiddenNote } from '../files/visible-files.js';
import { labelFiles } from '../tasks/label-sets.js';
import type { LabelCounts } from '../tasks/load-labels.js';
import { sampleKey } from '../tasks/read.js';
import { type IndexDate, type LongOperation, type Split, splits } from '../types.js';
import { readEmbeddings } from './embeddings.js';
import { readFeatureSplits } from './feature-splits.js';
import type { FeatureTable } from './features.js';
import { smallestDraws } from './intervals.js';
import { rowsByKey } from './probe.js';

/** What every probe on anybody's features is given. */
export const probeInputOptions = {
	/** Parquet with subject_id, prediction_time and a list of numbers, one row a sample. */
	features: filePath,
	/** The list's column. */
	column: z.string().min(1).default('embedding'),
	/** Parquet in the MEDS label schema, or a folder of such files. */
	labels: filePath,
	/** MEDS subject_splits; absent: the column `split` of the features. */
	splits: filePath.optional(),
	/** Folder to write. */
	out: filePath,
	seed: seed.default(1),
	/** Bootstrap resamples of patients. */
	draws: z.int().min(smallestDraws).default(1000),
};

export const splitCounts = z.strictObject({ train: z.int(), tuning: z.int(), held_out: z.int() });
/** Labels that were left out, by reason. */
export const ExcludedLabels = z.strictObject({
	unlabelled: z.int(),
	repeated: z.int(),
	withoutFeatures: z.int(),
	withoutSplit: z.int(),
});

/** Coverage of the intervals. */
export const probeLevel = 0.95;

/** Features with their labels by split, and what was left out. */
export interface ProbeInput<T extends IndexDate> {
	readonly table: FeatureTable;
	readonly rowOf: ReadonlyMap<string, number>;
	readonly labels: Readonly<Record<Split, readonly T[]>>;
	readonly excluded: z.output<typeof ExcludedLabels>;
	/** Rows of features that no label asks for. */
	readonly featuresWithoutLabel: number;
}

/**
 * Reads features, their splits and labels.
 *
 * @param readFiles - Reads the labels of some files.
 * @throws {DataError}
 */
export async function readProbeInput<T extends IndexDate>(
	config: {
		readonly features: string;
		readonly column: string;
		readonly labels: string;
		readonly splits?: string | undefined;
	},
	readFiles: (files: readonly string[]) => Promise<{ readonly labels: readonly T[]; readonly counts: LabelCounts }>,
	{ onWarning }: LongOperation,
): Promise<ProbeInput<T>> {
	const table = await readEmbeddings(config.features, config.column);
	const rowOf = rowsByKey(table);
	const splitOf = await readFeatureSplits(config.features, config.splits, onWarning);
	const isFile = (await stat(config.labels).catch(() => undefined))?.isFile() ?? false;
	const hidden: string[] = [];
	const files = isFile ? [config.labels] : await labelFiles(config.labels, hidden);
	const note = hiddenNote(hidden);
	if (note !== undefined) onWarning?.(note);
	const { labels: all, counts } = await readFiles(files);
	const labels: Record<Split, T[]> = { train: [], tuning: [], held_out: [] };
	let [withoutFeatures, withoutSplit] = [0, 0];
	for (const label of all) {
		const split = splitOf.get(label.subjectId);
		if (!rowOf.has(sampleKey(label))) withoutFeatures++;
		else if (split === undefined) withoutSplit++;
		else labels[split].push(label);
	}
	const labelled = splits.reduce((sum, split) => sum + labels[split].length, withoutSplit);
	const { unlabelled, repeated } = counts;
	return {
		table,
		rowOf,
		labels,
		excluded: { unlabelled, repeated, withoutFeatures, withoutSplit },
		featuresWithoutLabel: table.rows - labelled,
	};
}

/** A number of each split. */
export function eachSplit<T>(of: (split: Split) => T): Record<Split, T> {
	return Object.fromEntries(splits.map((split) => [split, of(split)])) as Record<Split, T>;
}

export function patientsOf(samples: readonly IndexDate[]): number {
	return new Set(samples.map(({ subjectId }) => subjectId)).size;
}

/** Reports finished stages of a probe, and ends it between two when it was aborted. */
export function probeStages({ onProgress, signal }: LongOperation): (done: number) => void {
	return (done) => {
		onProgress?.({ stage: 'probe', done, total: 4, unit: 'stages' });
		if (signal?.aborted) throw new AbortedError('[probe] aborted', { cause: signal.reason });
	};
}
