import { join } from 'node:path';
import type { TimeToEventEntry } from '../../tasks/read.js';
import { readTimeToEvent, type SurvivalLabelRow } from '../../tasks/survival-labels.js';
import type { Split } from '../../types.js';
import { commonLabels, type EvaluationSamples, labelsBySplit } from '../samples.js';

/** Samples of one task of kind `time-to-event`. */
export interface SurvivalSamples {
	readonly task: TimeToEventEntry;
	readonly labels: Readonly<Record<Split, readonly SurvivalLabelRow[]>>;
}

/**
 * Times to events of a task folder, by the split of their index date.
 *
 * @throws {DataError}
 */
export async function readSurvivalSamples(
	tasks: string,
	{ taskList, indexDates }: Pick<EvaluationSamples, 'taskList' | 'indexDates'>,
): Promise<SurvivalSamples[]> {
	const read: SurvivalSamples[] = [];
	for (const task of taskList.timeToEvent) {
		const folder = join(tasks, task.directory);
		const rows = task.samples === 0 ? [] : await readTimeToEvent(folder);
		read.push({ task, labels: labelsBySplit(folder, rows, indexDates) });
	}
	return read;
}

/** The samples that every model has features for. */
export function commonSurvivalSamples(
	samples: readonly SurvivalSamples[],
	models: readonly ReadonlyMap<string, unknown>[],
): SurvivalSamples[] {
	return samples.map(({ task, labels }) => ({ task, labels: commonLabels(labels, models) }));
}
