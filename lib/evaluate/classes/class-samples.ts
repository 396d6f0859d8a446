import { join } from 'node:path';
import { type ClassLabelRow, readClassLabels, sortedClasses } from '../../tasks/class-labels.js';
import { labelFiles } from '../../tasks/label-sets.js';
import type { ClassTaskEntry } from '../../tasks/read.js';
import { type Split, splits } from '../../types.js';
import { eachSplit } from '../probe-input.js';
import { commonLabels, type EvaluationSamples, labelsBySplit } from '../samples.js';

/** Samples of one task with several classes. */
export interface ClassSamples {
	readonly task: ClassTaskEntry;
	/** Of these classes alone. */
	readonly labels: Readonly<Record<Split, readonly ClassLabelRow[]>>;
	/** Those of train. */
	readonly classes: readonly string[];
	/** Samples that are left out since train does not have their class. */
	readonly unknownClass: number;
}

/**
 * Classes of a task folder by the split of their index date, of the samples that every model has features for.
 *
 * @throws {DataError}
 */
export async function readClassSamples(
	tasks: string,
	{ taskList, indexDates }: Pick<EvaluationSamples, 'taskList' | 'indexDates'>,
	models: readonly ReadonlyMap<string, unknown>[],
): Promise<ClassSamples[]> {
	const read: ClassSamples[] = [];
	for (const task of taskList.classes) {
		const folder = join(tasks, task.directory);
		const { labels } = await readClassLabels(await labelFiles(folder));
		read.push({ task, ...knownClasses(commonLabels(labelsBySplit(folder, labels, indexDates), models)) });
	}
	return read;
}

/** The samples whose class train has. */
export function knownClasses(
	labels: Readonly<Record<Split, readonly ClassLabelRow[]>>,
): Pick<ClassSamples, 'labels' | 'classes' | 'unknownClass'> {
	const classes = sortedClasses(labels.train);
	const known = new Set(classes);
	const kept = eachSplit((split) => labels[split].filter(({ value }) => known.has(value)));
	const unknownClass = splits.reduce((sum, split) => sum + labels[split].length - kept[split].length, 0);
	return { labels: kept, classes, unknownClass };
}
