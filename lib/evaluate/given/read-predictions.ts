import type { DuckDBBigIntVector, DuckDBBooleanVector, DuckDBDoubleVector } from '@duckdb/node-api';
import { requireColumns } from '../../data/parquet-columns.js';
import { type Database, reading, withDatabase } from '../../data/query.js';
import { DataError } from '../../errors.js';
import { parquetFiles } from '../../files/duckdb-files.js';
import { finiteTimeSql, sampleColumns } from '../state-rows.js';

/** Predictions of several models on the same samples, by subject and time. */
export interface GivenPredictions {
	/** (samples,) */
	readonly patients: BigInt64Array;
	/** (samples,) 0 or 1. */
	readonly truth: Uint8Array;
	/** Of each file (samples,). */
	readonly probabilities: readonly Float64Array[];
	/** Of each file. */
	readonly counts: readonly {
		readonly rows: number;
		/** Rows without a label. */
		readonly unlabelled: number;
		/** Labelled rows whose sample another file lacks. */
		readonly notInAll: number;
	}[];
}

const label = 'boolean_value';
const probability = 'predicted_boolean_probability';

/**
 * Reads files of predictions in meds-evaluation's schema: subject_id, prediction_time, boolean_value and
 * predicted_boolean_probability; further columns are passed over. What is compared are the samples that all files have.
 *
 * @throws {DataError} A null subject, time or probability, one outside [0, 1], a sample that occurs twice or has two labels, no
 * sample that all have.
 */
export async function readPredictions(files: readonly string[], signal?: AbortSignal): Promise<GivenPredictions> {
	return withDatabase({}, async (database) => {
		const loaded: { readonly rows: number; readonly unlabelled: number }[] = [];
		for (const [i, file] of files.entries()) loaded.push(await load(database, file, `p${i}`));
		if (files.length > 1) await refuseContradictions(database, files);
		const joined = files.slice(1).map((_, i) => `JOIN p${i + 1} USING (subject_id, t)`);
		const from = `FROM p0 ${joined.join(' ')} WHERE p0.value IS NOT NULL`;
		const [found] = await database.rows(`SELECT count(*)::DOUBLE AS n ${from}`);
		const samples = Number(found?.n);
		if (samples === 0) throw noSamples(files);
		const result = {
			patients: new BigInt64Array(samples),
			truth: new Uint8Array(samples),
			probabilities: files.map(() => new Float64Array(samples)),
		};
		const columns = files.map((_, i) => `p${i}.probability`).join(', ');
		let at = 0;
		for await (const chunk of database.stream(
			`SELECT p0.subject_id, p0.value, ${columns} ${from} ORDER BY p0.subject_id, p0.t`,
			signal,
		)) {
			const subjects = chunk.getColumnVector(0) as DuckDBBigIntVector;
			const values = chunk.getColumnVector(1) as DuckDBBooleanVector;
			const each = files.map((_, i) => chunk.getColumnVector(2 + i) as DuckDBDoubleVector);
			for (let row = 0; row < chunk.rowCount; row++, at++) {
				result.patients[at] = subjects.getItem(row)!;
				result.truth[at] = values.getItem(row) === true ? 1 : 0;
				for (const [i, vector] of each.entries()) result.probabilities[i]![at] = vector.getItem(row)!;
			}
		}
		const counts = loaded.map(({ rows, unlabelled }) => ({ rows, unlabelled, notInAll: rows - unlabelled - samples }));
		return { ...result, counts };
	});
}

/** Reads one file into a table (subject_id, t in microseconds, value, probability), each row checked. */
async function load(
	database: Database,
	file: string,
	table: string,
): Promise<{ readonly rows: number; readonly unlabelled: number }> {
	await requireColumns(database, 'metrics', file, {
		...sampleColumns,
		[label]: 'a boolean',
		[probability]: 'a number',
	});
	const create = `CREATE TABLE ${table} AS SELECT file_row_number AS r, subject_id::BIGINT AS subject_id, ${finiteTimeSql} AS t,
		${label} AS value, ${probability}::DOUBLE AS probability FROM ${parquetFiles(file, { rowNumbers: true })}`;
	await reading('metrics', file, () => database.run(create));
	const refuse = (column: string, rule: string, value: string): never => {
		throw new DataError('metrics', { file, column, rule, value });
	};
	// NaN is above every number.
	const [bad] = await database.rows(
		`SELECT r, subject_id, subject_id IS NULL AS nobody, t IS NULL AS never, probability IS NULL AS nothing FROM ${table}
		WHERE subject_id IS NULL OR t IS NULL OR probability IS NULL OR NOT (probability BETWEEN 0 AND 1) ORDER BY r LIMIT 1`,
	);
	if (bad !== undefined) {
		const place = `row ${bad.r}${bad.nobody ? '' : `, subject ${bad.subject_id}`}`;
		if (bad.nobody) refuse('subject_id', 'must not be null', place);
		if (bad.never) refuse('prediction_time', 'must not be null or infinite', place);
		refuse(
			probability,
			'must be a probability, from 0 to 1',
			`${bad.nothing ? 'null' : 'a number beyond or NaN'} in ${place}`,
		);
	}
	const [twice] = await database.rows(
		`SELECT min(r) AS first, max(r) AS last, subject_id FROM ${table} GROUP BY subject_id, t HAVING count(*) > 1 LIMIT 1`,
	);
	if (twice !== undefined) {
		const value = `the sample of row ${twice.first} again in row ${twice.last}, subject ${twice.subject_id}`;
		refuse('prediction_time', 'must occur once for a subject', value);
	}
	const [counted] = await database.rows(
		`SELECT count(*)::DOUBLE AS rows, (count(*) FILTER (value IS NULL))::DOUBLE AS nulls FROM ${table}`,
	);
	return { rows: Number(counted?.rows), unlabelled: Number(counted?.nulls) };
}

async function refuseContradictions(database: Database, files: readonly string[]): Promise<void> {
	for (const [i, file] of files.entries()) {
		if (i === 0) continue;
		const [first] = await database.rows(
			`SELECT p0.r AS a, p${i}.r AS b, subject_id FROM p0 JOIN p${i} USING (subject_id, t)
			WHERE p0.value IS DISTINCT FROM p${i}.value ORDER BY p0.r LIMIT 1`,
		);
		if (first === undefined) continue;
		throw new DataError('metrics', {
			file,
			column: label,
			rule: `must hold the labels of ${files[0]}`,
			value: `another one in row ${first.b} than there in row ${first.a}, subject ${first.subject_id}`,
			fix: 'compare predictions of one task and horizon',
		});
	}
}

function noSamples(files: readonly string[]): DataError {
	return new DataError('metrics', {
		file: files[0]!,
		column: label,
		rule: files.length === 1 ? 'must hold a label' : 'must hold samples that all files have with a label',
		value: 'none',
	});
}
