import { DataError } from '../errors.js';
import type { IndexDate } from '../types.js';
import type { LabelCounts } from './load-labels.js';
import { numberTypes, readValueLabels } from './value-labels.js';

/** A measured number. */
export interface NumberLabelRow extends IndexDate {
	readonly value: number;
}

/** Column of numbers in the MEDS label schema. */
export const numberColumn = 'float_value';

/**
 * Labels that are numbers, by subject and prediction time; rows with a null are left out and counted.
 *
 * @throws {DataError} As {@link readValueLabels}, and for a number beyond float32.
 */
export async function readNumberLabels(
	files: readonly string[],
	column: string = numberColumn,
): Promise<{ readonly labels: NumberLabelRow[]; readonly counts: LabelCounts }> {
	const { labels, counts } = await readValueLabels(files, [
		{ name: column, accepted: numberTypes, rule: 'a number', as: 'DOUBLE' },
	]);
	return {
		labels: labels.map(({ subjectId, predictionTime, values }) => {
			const value = Number(values[0]);
			if (Number.isFinite(Math.fround(value))) return { subjectId, predictionTime, value };
			throw new DataError('labels', {
				file: files[0]!,
				column,
				rule: 'must fit float32',
				value: `a larger number, of subject ${subjectId}`,
				fix: 'give it in a larger unit',
			});
		}),
		counts,
	};
}
