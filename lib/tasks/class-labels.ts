import { columnNames } from '../data/column-names.js';
import { parquetColumns } from '../data/parquet-columns.js';
import { queryFile } from '../data/query.js';
import { DataError } from '../errors.js';
import type { IndexDate } from '../types.js';
import type { LabelCounts } from './load-labels.js';
import { readValueLabels } from './value-labels.js';

/** One of several classes. */
export interface ClassLabelRow extends IndexDate {
	/** Name of the class; a whole number as it is written. */
	readonly value: string;
}

/** Columns of classes in the MEDS label schema. */
const classColumns = ['categorical_value', 'integer_value'] as const;
/** More are no classes but numbers or free text. */
const mostClasses = 1000;

/**
 * Labels of several classes, by subject and prediction time; rows with a null are left out and counted.
 *
 * @param column - Of the classes; absent: that of the MEDS label schema which the files have.
 * @throws {DataError} Neither column or both, more than 1,000 classes, and as {@link readValueLabels}.
 */
export async function readClassLabels(
	files: readonly string[],
	column?: string,
): Promise<{ readonly labels: ClassLabelRow[]; readonly counts: LabelCounts; readonly column: string }> {
	const name = column ?? (await columnOf(files[0]!));
	const { labels: rows, counts } = await readValueLabels(files, [
		{
			name,
			accepted: /^(u?int(8|16|32|64)|(large_)?string|bool|dictionary.*)$/,
			rule: 'a text or a whole number',
			as: 'VARCHAR',
		},
	]);
	const labels = rows.map(
		({ subjectId, predictionTime, values }): ClassLabelRow => ({ subjectId, predictionTime, value: String(values[0]) }),
	);
	const classes = new Set(labels.map(({ value }) => value)).size;
	if (classes > mostClasses) {
		throw new DataError('labels', {
			file: files[0]!,
			column: name,
			rule: `must hold at most ${mostClasses} classes`,
			value: `${classes}`,
			fix: 'name a column of classes',
		});
	}
	return { labels, counts, column: name };
}

/** The classes of some labels: whole numbers by size, others as texts. */
export function sortedClasses(labels: readonly ClassLabelRow[]): string[] {
	const names = [...new Set(labels.map(({ value }) => value))];
	return names.every((name) => /^-?\d+$/.test(name))
		? names.sort((a, b) => Number(a) - Number(b))
		: names.sort((a, b) => (a < b ? -1 : 1));
}

async function columnOf(file: string): Promise<string> {
	const columns = await queryFile('labels', file, {}, (database) => parquetColumns(database, 'labels', file, file));
	const names = columns.map(({ name }) => name);
	const found = classColumns.filter((name) => names.includes(name));
	if (found.length === 1) return found[0]!;
	throw new DataError('labels', {
		file,
		column: classColumns.join(', '),
		rule: 'must be one of both, or the column must be named',
		value: found.length === 0 ? `columns ${columnNames(names)}` : 'both',
		fix: 'name the column of the classes: labelColumn, --label-column',
	});
}
