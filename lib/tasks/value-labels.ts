import type { DuckDBBigIntVector } from '@duckdb/node-api';
import { columnNames } from '../data/column-names.js';
import { type Database, identifier, queryFile, reading } from '../data/query.js';
import { arrowTypes } from '../data/validate/arrow-types.js';
import { DataError } from '../errors.js';
import { parquetFiles } from '../files/duckdb-files.js';
import type { IndexDate } from '../types.js';
import type { LabelCounts } from './load-labels.js';

/** A column of labels: what it is called, what may be in it, and as what it is read. */
export interface ValueColumn {
	readonly name: string;
	/** Types as pyarrow prints them. */
	readonly accepted: RegExp;
	readonly rule: string;
	readonly as: 'DOUBLE' | 'VARCHAR';
}

/** Types of numbers, as pyarrow prints them. */
export const numberTypes = /^(u?int(8|16|32|64)|float|double|halffloat|decimal128)$/;

export interface ValueLabelRow extends IndexDate {
	/** One of each column. */
	readonly values: readonly (number | string)[];
}

const keys: readonly Pick<ValueColumn, 'name' | 'accepted' | 'rule'>[] = [
	{ name: 'subject_id', accepted: /^u?int(8|16|32|64)$/, rule: 'a whole number' },
	{ name: 'prediction_time', accepted: /^timestamp\[/, rule: 'a timestamp' },
];

/**
 * Labels that are not yes or no: rows of subject_id, prediction_time and columns of values, by subject and time. A row with a null
 * value is left out and counted, as is one that says again what another says.
 *
 * @throws {DataError} A missing column, another type, a sample without subject or time, a number that is not finite, two labels
 *   for one sample, no label.
 */
export function readValueLabels(
	files: readonly string[],
	columns: readonly ValueColumn[],
): Promise<{ readonly labels: ValueLabelRow[]; readonly counts: LabelCounts }> {
	return queryFile('labels', files[0] ?? 'labels', {}, async (database) => {
		const names = columns.map((_, i) => `v${i}`);
		await database.run(
			`CREATE TEMP TABLE label_rows (file INTEGER, "row" BIGINT, subject_id BIGINT, t BIGINT, ${columns.map(({ as }, i) => `v${i} ${as}`).join(', ')})`,
		);
		for (const [i, file] of files.entries()) {
			await checkColumns(database, file, columns);
			const values = columns.map(({ name, as }) => `${identifier(name)}::${as}`).join(', ');
			await reading('labels', file, () =>
				database.run(
					`INSERT INTO label_rows SELECT ${i}, file_row_number, subject_id::BIGINT,
					CASE WHEN isfinite(prediction_time) THEN epoch_us(prediction_time) END, ${values}
					FROM ${parquetFiles(file, { rowNumbers: true })}`,
				),
			);
		}
		await refuseRows(database, files, columns);
		const known = names.map((name) => `${name} IS NOT NULL`).join(' AND ');
		await database.run(
			`CREATE TEMP TABLE labels AS SELECT subject_id, t, ${names.map((name) => `any_value(${name}) AS ${name}`).join(', ')}
			FROM label_rows WHERE ${known} GROUP BY subject_id, t`,
		);
		const [found] = await database.rows(
			`SELECT (SELECT count(*) FROM label_rows)::DOUBLE AS rows, (SELECT count(*) FROM label_rows WHERE ${known})::DOUBLE AS labelled`,
		);
		const labels: ValueLabelRow[] = [];
		for await (const chunk of database.stream(`SELECT subject_id, t, ${names.join(', ')} FROM labels ORDER BY ALL`)) {
			const subjects = chunk.getColumnVector(0) as DuckDBBigIntVector;
			const times = chunk.getColumnVector(1) as DuckDBBigIntVector;
			const values = columns.map((_, i) => chunk.getColumnVector(2 + i));
			for (let row = 0; row < chunk.rowCount; row++) {
				labels.push({
					subjectId: subjects.getItem(row)!,
					predictionTime: times.getItem(row)!,
					values: values.map((vector) => vector.getItem(row) as number | string),
				});
			}
		}
		const [rows, labelled] = [Number(found?.rows), Number(found?.labelled)];
		if (labels.length === 0) {
			throw new DataError('labels', {
				file: files[0]!,
				column: columns.map(({ name }) => name).join(', '),
				rule: 'must hold at least one label',
				value: rows === 0 ? 'no rows' : `${rows} rows, each null`,
			});
		}
		return { labels, counts: { rows, unlabelled: rows - labelled, repeated: labelled - labels.length } };
	});
}

async function checkColumns(database: Database, file: string, columns: readonly ValueColumn[]): Promise<void> {
	const types = await arrowTypes(database, 'labels', file, file);
	for (const { name, accepted, rule } of [...keys, ...columns]) {
		const found = types.get(name);
		if (found !== undefined && accepted.test(found)) continue;
		throw new DataError('labels', {
			file,
			column: name,
			rule: found === undefined ? `must be there, ${rule}` : `must be ${rule}`,
			value: found ?? `columns ${columnNames(types.keys())}`,
		});
	}
}

/** Rows that no label can have. */
async function refuseRows(
	database: Database,
	files: readonly string[],
	columns: readonly ValueColumn[],
): Promise<void> {
	const first = async (condition: string) =>
		(await database.rows(`SELECT file, "row" FROM label_rows WHERE ${condition} ORDER BY file, "row" LIMIT 1`))[0];
	for (const { name, condition, rule } of [
		{ name: 'subject_id', condition: 'subject_id IS NULL', rule: 'must not be null' },
		{ name: 'prediction_time', condition: 't IS NULL', rule: 'must not be null or infinite' },
		...columns.flatMap((column, i) =>
			column.as === 'DOUBLE'
				? [
						{
							name: column.name,
							condition: `NOT isfinite(v${i})`,
							rule: 'must be finite, or null where it is not known',
						},
					]
				: [],
		),
	]) {
		const row = await first(condition);
		if (row === undefined) continue;
		throw new DataError('labels', { file: files[Number(row.file)]!, column: name, rule, value: `row ${row.row}` });
	}
	const values = columns.map((_, i) => `v${i}`);
	const [twice] = await database.rows(
		`SELECT subject_id, make_timestamp(t)::VARCHAR AS time, min(file) AS file FROM label_rows
		WHERE ${values.map((value) => `${value} IS NOT NULL`).join(' AND ')}
		GROUP BY subject_id, t HAVING ${values.map((value) => `min(${value}) <> max(${value})`).join(' OR ')} ORDER BY subject_id, t LIMIT 1`,
	);
	if (twice === undefined) return;
	throw new DataError('labels', {
		file: files[Number(twice.file)]!,
		column: columns.map(({ name }) => name).join(', '),
		rule: 'must say one thing about a subject at a time',
		value: `subject ${twice.subject_id} at ${twice.time} has two labels`,
		fix: 'two tasks go into two files; of two labels of one task only one can be right',
	});
}
