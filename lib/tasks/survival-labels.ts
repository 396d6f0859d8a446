import { DataError } from '../errors.js';
import type { IndexDate } from '../types.js';
import { labelFiles } from './label-sets.js';
import type { LabelCounts } from './load-labels.js';
import { numberTypes, readValueLabels, type ValueColumn } from './value-labels.js';

/** Time to an event, or to the end of follow-up. */
export interface SurvivalLabelRow extends IndexDate {
	readonly days: number;
	/** Whether the event was seen; else follow-up ended. */
	readonly event: boolean;
}

/** Columns of times to events in the MEDS label schema. */
export const survivalColumns = { time: 'float_value', event: 'boolean_value' } as const;

/**
 * Times to events, by subject and prediction time; rows with a null are left out and counted.
 *
 * @param columns - Names of the columns of time and event.
 * @throws {DataError} {@link readValueLabels}; also for a negative time, or an event that is neither 0 nor 1.
 */
export async function readSurvivalLabels(
	files: readonly string[],
	columns: { readonly time: string; readonly event: string } = survivalColumns,
): Promise<{ readonly labels: SurvivalLabelRow[]; readonly counts: LabelCounts }> {
	const read: readonly ValueColumn[] = [
		{
			name: columns.time,
			accepted: numberTypes,
			rule: 'a number: days to the event or to the end of follow-up',
			as: 'DOUBLE',
		},
		{
			name: columns.event,
			accepted: new RegExp(`^bool$|${numberTypes.source}`),
			rule: 'true, or 1, where the event was seen',
			as: 'DOUBLE',
		},
	];
	const { labels, counts } = await readValueLabels(files, read);
	return {
		labels: labels.map(({ subjectId, predictionTime, values }) => {
			const [days, event] = values as readonly [number, number];
			const refuse = (column: string, rule: string, value: number): never => {
				throw new DataError('labels', { file: files[0]!, column, rule, value: `${value} of subject ${subjectId}` });
			};
			if (days < 0) refuse(columns.time, 'must be at least 0', days);
			if (event !== 0 && event !== 1) refuse(columns.event, 'must be 0 or 1', event);
			return { subjectId, predictionTime, days, event: event === 1 };
		}),
		counts,
	};
}

/** Those of a task folder. */
export async function readTimeToEvent(directory: string, passedOver: string[] = []): Promise<SurvivalLabelRow[]> {
	return (await readSurvivalLabels(await labelFiles(directory, passedOver))).labels;
}
