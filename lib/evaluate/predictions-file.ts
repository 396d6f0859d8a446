import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { withDatabase } from '../data/query.js';
import { copyToParquet } from '../files/duckdb-files.js';
import { identifier } from '../files/sql-text.js';
import type { IndexDate } from '../types.js';
import type { Read } from './results.js';

/** A column of predictions: its name, its type in DuckDB and a value a sample. */
export interface PredictionColumn {
	readonly name: string;
	readonly type: 'BOOLEAN' | 'FLOAT' | 'VARCHAR';
	readonly value: (row: number) => boolean | number | string;
}

/**
 * Writes predictions of samples beside subject_id and prediction_time, by subject and time.
 *
 * @param path - A temporary name: the caller makes the file whole.
 */
export async function writePredictionColumns(
	path: string,
	samples: readonly IndexDate[],
	columns: readonly PredictionColumn[],
): Promise<void> {
	await withDatabase({ threads: 1 }, async (database) => {
		const typed = columns.map(({ name, type }) => `${identifier(name)} ${type}`);
		await database.run(`CREATE TABLE p (subject_id BIGINT, t BIGINT, ${typed.join(', ')})`);
		const appender = await database.connection.createAppender('p');
		for (const [row, { subjectId, predictionTime }] of samples.entries()) {
			appender.appendBigInt(subjectId);
			appender.appendBigInt(predictionTime);
			for (const { type, value } of columns) {
				if (type === 'BOOLEAN') appender.appendBoolean(value(row) as boolean);
				else if (type === 'FLOAT') appender.appendFloat(value(row) as number);
				else appender.appendVarchar(value(row) as string);
			}
			appender.endRow();
		}
		appender.closeSync();
		const names = columns.map(({ name }) => identifier(name)).join(', ');
		await database.run(
			copyToParquet(
				`SELECT subject_id, make_timestamp(t) AS prediction_time, ${names} FROM p ORDER BY subject_id, t`,
				path,
			),
		);
	});
}

/**
 * A file of the held-out samples of a task for each model that has a probe: `<model>/<task>/held_out.parquet`.
 *
 * @param directory - Of the task.
 */
export async function writeHeldOut<Reading extends object>(
	folder: string,
	directory: string,
	models: readonly Read<Reading>[],
	write: (path: string, scores: Exclude<Reading, { readonly undefinedReason: string }>) => Promise<void>,
): Promise<void> {
	for (const { about, reading } of models) {
		if ('undefinedReason' in reading) continue;
		const own = join(folder, about.name, directory);
		await mkdir(own, { recursive: true });
		await write(join(own, 'held_out.parquet'), reading as Parameters<typeof write>[1]);
	}
}
