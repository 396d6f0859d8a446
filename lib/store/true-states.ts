import { join } from 'node:path';
import type { DuckDBFloatVector, DuckDBIntegerVector } from '@duckdb/node-api';
import { parquetColumns } from '../data/parquet-columns.js';
import { identifier, queryFile } from '../data/query.js';
import { parquetFiles } from '../files/duckdb-files.js';
import { exists } from '../files/exists.js';
import type { EpochDay } from '../types.js';

/** File of a store of simulated patients with the true states of tuning patients: subject_id, day, one column an axis. */
export const trueStatesFile = 'tuning.states.parquet';
/** Tuning patients whose states a store holds: the first, in the order of their ids. */
export const trueStatePatients = 1000;

/** True states at the ends of days. */
export interface TrueStates {
	readonly axes: readonly string[];
	/** In the order that was asked for, (axes,) each; undefined where the store has none. */
	readonly states: readonly (Float32Array | undefined)[];
}

/**
 * The true states of tuning patients at the ends of days with events.
 *
 * @param directory - Of the token store.
 * @returns Undefined for a store of patients whose state nobody knows.
 * @throws {DataError} For a file that is damaged.
 */
export async function readTrueStates(
	directory: string,
	wanted: readonly { readonly subjectId: bigint; readonly day: EpochDay }[],
): Promise<TrueStates | undefined> {
	const file = join(directory, trueStatesFile);
	if (!(await exists(file))) return undefined;
	return queryFile('token store', file, { threads: 1 }, async (database) => {
		const axes = (await parquetColumns(database, 'token store', file, file)).map(({ name }) => name).slice(2);
		await database.run('CREATE TABLE wanted (i INTEGER, subject_id BIGINT, day INTEGER)');
		const appender = await database.connection.createAppender('wanted');
		for (const [i, { subjectId, day }] of wanted.entries()) {
			appender.appendInteger(i);
			appender.appendBigInt(subjectId);
			appender.appendInteger(day);
			appender.endRow();
		}
		appender.closeSync();
		const states: (Float32Array | undefined)[] = wanted.map(() => undefined);
		const columns = axes.map((axis) => `s.${identifier(axis)}::FLOAT`).join(', ');
		const sql = `SELECT w.i, ${columns} FROM wanted w JOIN ${parquetFiles(file)} s USING (subject_id, day)`;
		for await (const chunk of database.stream(sql)) {
			const rows = chunk.getColumnVector(0) as DuckDBIntegerVector;
			const vectors = axes.map((_, k) => chunk.getColumnVector(k + 1) as DuckDBFloatVector);
			for (let row = 0; row < chunk.rowCount; row++) {
				const state = Float32Array.from(vectors, (vector) => vector.getItem(row) ?? Number.NaN);
				if (state.every(Number.isFinite)) states[rows.getItem(row)!] = state;
			}
		}
		return { axes, states };
	});
}
