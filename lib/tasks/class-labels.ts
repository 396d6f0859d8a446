import { columnNames } from '../data/column-names.js';
import { parquetColumns } from '../data/parquet-columns.js';
import { queryFile, reading } from '../data/query.js';
import { DataError } from '../errors.js';
import { parquetFiles } from '../files/duckdb-files.js';
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
 * @param column - Of the classes; absent: that of the MEDS label schema which holds labels.
 * @throws {DataError} Neither column or both, more than 1,000 classes, two that differ in capitals alone, and as {@link readValueLabels}.
 */
export async function readClassLabels(
	files: readonly string[],
	column?: string,
): Promise<{ readonly labels: ClassLabelRow[]; readonly counts: LabelCounts; readonly column: string }> {
	const name = column ?? (await columnOf(files));
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
	const classes = new Set(labels.map(({ value }) => value));
	const refuse = (rule: string, value: string, fix: string) => {
		throw new DataError('labels', { file: files[0]!, column: name, rule, value, fix });
	};
	if (classes.size > mostClasses)
		refuse(`must hold at most ${mostClasses} classes`, `${classes.size}`, 'name a column of classes');
	// Each class is a column of the predictions, and parquet readers do not tell capitals in names of columns.
	const alike = new Set([...classes].map((one) => one.toLowerCase())).size;
	if (alike < classes.size)
		refuse(
			'must name classes by more than their capitals',
			`${classes.size} names, ${alike} without capitals`,
			'give them other names',
		);
	return { labels, counts, column: name };
}

/** The classes of some labels: whole numbers by size, others as texts. */
export function sortedClasses(labels: readonly ClassLabelRow[]): string[] {
	return sortedNames(labels.map(({ value }) => value));
}

/** Different names of classes in their order. */
export function sortedNames(values: Iterable<string>): string[] {
	const names = [...new Set(values)];
	return names.every((name) => /^-?\d+$/.test(name))
		? names.sort((a, b) => (BigInt(a) < BigInt(b) ? -1 : 1))
		: names.sort((a, b) => (a < b ? -1 : 1));
}

/** The column of classes in which there are labels; one of two that are there without any. */
async function columnOf(files: readonly string[]): Promise<string> {
	const there = new Set<string>();
	const filled = new Set<string>();
	let names = '';
	for (const file of files) {
		await queryFile('labels', file, {}, async (database) => {
			const columns = await parquetColumns(database, 'labels', file, file);
			names ||= columnNames(columns.map(({ name }) => name));
			for (const name of classColumns.filter((one) => columns.some((column) => column.name === one))) {
				there.add(name);
				const [row] = await reading('labels', file, () =>
					database.rows(`SELECT count(${name})::DOUBLE AS n FROM ${parquetFiles(file)}`),
				);
				if (Number(row?.n) > 0) filled.add(name);
			}
		});
	}
	const [found, ...more] = filled.size > 0 ? filled : there;
	if (found !== undefined && (more.length === 0 || filled.size === 0)) return found;
	throw new DataError('labels', {
		file: files[0]!,
		column: classColumns.join(', '),
		rule: 'must be one of both, or the column must be named',
		value: found === undefined ? `columns ${names}` : 'labels in both',
		fix: 'name the column of the classes: labelColumn, --label-column',
	});
}
