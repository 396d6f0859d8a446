import { DataError } from '../errors.js';
import { parquetFiles } from '../files/duckdb-files.js';
import { type EventLayout, eventsSql } from './event-columns.js';
import { isBlankSql, isMissingWordSql } from './missing-words.js';
import { type Database, identifier, quoted } from './query.js';
import { folderSplit } from './splits.js';

/** What the check counted. */
export interface EventCounts {
	events: number;
	/** Rows that have a number. */
	values: number;
	/** NaN or infinite. */
	notFinite: number;
	/** Rows with a negative subject_id. */
	negativeSubjects: number;
	/** Characters. */
	longestCode: number;
	/** Rows whose code, text or unit is a word for none. */
	missingCodes: number;
	missingTexts: number;
	missingUnits: number;
}

const largestFloat = '3.4028234663852886e38';

/** Table that {@link checkSubjects} fills: the subjects of each file. */
export async function createSubjectTable(database: Database): Promise<void> {
	await database.run('CREATE TABLE subject_rows (subject_id BIGINT, file VARCHAR, folder VARCHAR, contiguous BOOLEAN)');
}

/**
 * Reads the events of one file for the rules on each row by itself.
 *
 * @param name - Of the file, for messages.
 * @param layout - Of this file alone.
 * @throws {DataError} A null subject_id or code, an infinite time, a value beyond float32.
 */
export async function checkRows(database: Database, name: string, layout: EventLayout): Promise<EventCounts> {
	const source = parquetFiles(layout.files);
	const own = (column: string) => identifier(layout.columns[column]!);
	const [subject, time, code] = [own('subject_id'), own('time'), own('code')];
	const value = layout.columns.numeric_value === undefined ? 'NULL::DOUBLE' : `${own('numeric_value')}::DOUBLE`;
	const missing = (name: 'text_value' | 'unit') => {
		const column = [name, ...(name === 'unit' ? ['units'] : [])].find((one) => layout.columns[one] !== undefined);
		return column === undefined ? 'false' : isMissingWordSql(`${own(column)}::VARCHAR`);
	};
	const [found] = await database.rows(
		`SELECT count(*)::DOUBLE AS events, count(${value})::DOUBLE AS values,
			(count(*) FILTER (NOT isfinite(${value})))::DOUBLE AS "notFinite",
			(count(*) FILTER (${subject} < 0))::DOUBLE AS "negativeSubjects",
			coalesce(max(length(${code}::VARCHAR)), 0)::DOUBLE AS "longestCode",
			(count(*) FILTER (${isMissingWordSql(`${code}::VARCHAR`)} OR ${isBlankSql(`${code}::VARCHAR`)}))::DOUBLE AS "missingCodes",
			(count(*) FILTER (${missing('text_value')}))::DOUBLE AS "missingTexts",
			(count(*) FILTER (${missing('unit')}))::DOUBLE AS "missingUnits",
			(count(*) FILTER (${subject} IS NULL))::DOUBLE AS null_subjects,
			(count(*) FILTER (${code} IS NULL))::DOUBLE AS null_codes,
			(count(*) FILTER (NOT isfinite(${time})))::DOUBLE AS infinite_times,
			(count(*) FILTER (isfinite(${value}) AND abs(${value}) > ${largestFloat}))::DOUBLE AS beyond_float
		FROM ${source}`,
	);
	const count = (column: string) => Number(found?.[column] ?? 0);
	const refuse = (column: string, rule: string, counted: string, what: string, fix?: string) => {
		if (count(counted) === 0) return;
		const value = `${count(counted)} ${what}`;
		throw new DataError('meds', { file: name, column, rule, value, ...(fix === undefined ? {} : { fix }) });
	};
	refuse('subject_id', 'must not be null', 'null_subjects', 'nulls');
	refuse('code', 'must not be null', 'null_codes', 'nulls');
	refuse('time', 'must be finite', 'infinite_times', 'infinite times', 'write null for a static event');
	refuse('numeric_value', 'must fit a 32-bit float', 'beyond_float', 'larger values');
	return {
		events: count('events'),
		values: count('values'),
		notFinite: count('notFinite'),
		negativeSubjects: count('negativeSubjects'),
		longestCode: count('longestCode'),
		missingCodes: count('missingCodes'),
		missingTexts: count('missingTexts'),
		missingUnits: count('missingUnits'),
	};
}

/**
 * Checks the order of one file's rows, and keeps its subjects.
 *
 * @throws {DataError} Times that go backwards.
 */
export async function checkSubjects(database: Database, name: string, layout: EventLayout): Promise<void> {
	await checkOrder(database, name, layout);
	const subject = identifier(layout.columns.subject_id!);
	await database.run(
		`INSERT INTO subject_rows SELECT ${subject}::BIGINT, ${quoted(name)}, ${quoted(folderSplit(name) ?? '')},
			max(file_row_number) - min(file_row_number) + 1 = count(*)
		FROM ${parquetFiles(layout.files, { rowNumbers: true })} GROUP BY ${subject}`,
	);
}

/**
 * lag() over a file in its own order streams in DuckDB: no sort and no memory, where a window that is partitioned by file
 * sorts all rows. Static rows may stand anywhere, so they are no neighbours.
 */
async function checkOrder(database: Database, name: string, layout: EventLayout): Promise<void> {
	const [backwards] = await database.rows(
		`SELECT subject_id, file_row_number FROM (
			SELECT subject_id, time, file_row_number, lag(subject_id) OVER () AS previous_subject, lag(time) OVER () AS previous_time
			FROM (SELECT subject_id, time, file_row_number FROM (${eventsSql({ layouts: [layout] })}) WHERE time IS NOT NULL))
		WHERE subject_id = previous_subject AND time < previous_time LIMIT 1`,
	);
	if (backwards === undefined) return;
	throw new DataError('meds', {
		file: name,
		column: 'time',
		rule: 'must not go backwards within a subject',
		value: `subject ${backwards.subject_id} at row ${backwards.file_row_number}`,
		fix: 'sort each file by subject_id and time',
	});
}

/** @throws {DataError} A subject whose rows are apart, in one file or in two. */
export async function checkSubjectsTogether(database: Database): Promise<void> {
	const [scattered] = await database.rows(
		`SELECT subject_id, string_agg(file, ' and ' ORDER BY file) AS files, count(*)::DOUBLE AS n FROM subject_rows
		GROUP BY subject_id HAVING count(*) > 1 OR NOT bool_and(contiguous) ORDER BY subject_id LIMIT 1`,
	);
	if (scattered === undefined) return;
	const apart = Number(scattered.n) > 1 ? `in ${scattered.n} files` : 'in separate runs of rows';
	throw subjectApart(String(scattered.files), `subject ${scattered.subject_id} ${apart}`);
}

/** @param value - The subject, and where its rows are. */
export function subjectApart(file: string, value: string): DataError {
	return new DataError('meds', {
		file,
		column: 'subject_id',
		rule: 'must hold the rows of one subject together, in one file',
		value,
		fix: 'sort the data by subject_id and time',
	});
}
