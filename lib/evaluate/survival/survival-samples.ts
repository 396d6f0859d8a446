import { join } from 'node:path';
import { DataError } from '../../errors.js';
import { sampleKey, type TimeToEventEntry } from '../../tasks/read.js';
import { readTimeToEvent, type SurvivalLabelRow } from '../../tasks/survival-labels.js';
import type { Split } from '../../types.js';
import type { EvaluationSamples } from '../samples.js';

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
	const splitOf = new Map(indexDates.map((row) => [sampleKey(row), row.split]));
	const read: SurvivalSamples[] = [];
	for (const task of taskList.timeToEvent) {
		const labels: Record<Split, SurvivalLabelRow[]> = { train: [], tuning: [], held_out: [] };
		const rows = task.samples === 0 ? [] : await readTimeToEvent(join(tasks, task.directory));
		for (const label of rows) {
			const split = splitOf.get(sampleKey(label));
			if (split === undefined) {
				throw new DataError('evaluate', {
					file: join(tasks, task.directory),
					rule: 'must label index dates of index_dates.parquet',
					value: `subject ${label.subjectId} at ${label.predictionTime} microseconds, which is none`,
					fix: 'build the tasks again',
				});
			}
			labels[split].push(label);
		}
		read.push({ task, labels });
	}
	return read;
}

/** The samples that every model has features for. */
export function commonSurvivalSamples(
	samples: readonly SurvivalSamples[],
	models: readonly ReadonlyMap<string, unknown>[],
): SurvivalSamples[] {
	return samples.map(({ task, labels }) => {
		const kept = (split: Split) =>
			labels[split].filter((label) => models.every((rowOf) => rowOf.has(sampleKey(label))));
		return { task, labels: { train: kept('train'), tuning: kept('tuning'), held_out: kept('held_out') } };
	});
}
