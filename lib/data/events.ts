import type { DuckDBBigIntVector, DuckDBFloatVector, DuckDBIntegerVector } from '@duckdb/node-api';
import { type Split, splits } from '../types.js';
import { eventsSql, type MedsDataset } from './meds.js';
import { staticTime } from './meds-writer.js';
import type { Database } from './query.js';

/** A run of events in order of subject, time (static rows first) and row. */
export interface EventChunk {
	readonly count: number;
	readonly subjectIds: BigInt64Array;
	/** Microseconds; `staticTime` where the time is null. */
	readonly times: BigInt64Array;
	/** Index into the codes of {@link loadCodes}. */
	readonly codes: Int32Array;
	/** NaN where there is no finite value. */
	readonly values: Float32Array;
}

/** Puts the data set's codes and splits into the database; returns the codes in order of their ids. */
export async function loadCodes(database: Database, dataset: MedsDataset): Promise<string[]> {
	await database.run(
		`CREATE OR REPLACE TABLE code_ids AS SELECT code, (row_number() OVER (ORDER BY code) - 1)::INTEGER AS id
		FROM (SELECT DISTINCT code FROM (${eventsSql(dataset)}))`,
	);
	await database.run('CREATE OR REPLACE TABLE subject_splits (subject_id BIGINT, split VARCHAR)');
	const appender = await database.connection.createAppender('subject_splits');
	for (const split of splits) {
		for (const subjectId of dataset.subjects[split]) {
			appender.appendBigInt(subjectId);
			appender.appendVarchar(split);
			appender.endRow();
		}
	}
	appender.closeSync();
	const rows = await database.rows('SELECT code FROM code_ids ORDER BY id');
	return rows.map((row) => String(row.code));
}

/** Streams the events of one split; needs {@link loadCodes} first. Sorting spills to disk. */
export async function* streamEvents(
	database: Database,
	dataset: MedsDataset,
	split: Split,
	signal?: AbortSignal,
): AsyncGenerator<EventChunk> {
	const sql = `SELECT e.subject_id, coalesce(e.time, '${staticTime}'::BIGINT) AS time, c.id,
			coalesce(e.value, 'nan'::FLOAT) AS value
		FROM (${eventsSql(dataset)}) e
		JOIN subject_splits s ON s.subject_id = e.subject_id AND s.split = '${split}'
		JOIN code_ids c ON c.code = e.code
		ORDER BY e.subject_id, e.time NULLS FIRST, e.filename, e.file_row_number`;
	for await (const chunk of database.stream(sql, signal)) {
		const count = chunk.rowCount;
		const subjects = chunk.getColumnVector(0) as DuckDBBigIntVector;
		const times = chunk.getColumnVector(1) as DuckDBBigIntVector;
		const codes = chunk.getColumnVector(2) as DuckDBIntegerVector;
		const values = chunk.getColumnVector(3) as DuckDBFloatVector;
		const columns = {
			count,
			subjectIds: new BigInt64Array(count),
			times: new BigInt64Array(count),
			codes: new Int32Array(count),
			values: new Float32Array(count),
		};
		for (let row = 0; row < count; row++) {
			columns.subjectIds[row] = subjects.getItem(row)!;
			columns.times[row] = times.getItem(row)!;
			columns.codes[row] = codes.getItem(row)!;
			columns.values[row] = values.getItem(row)!;
		}
		yield columns;
	}
}
