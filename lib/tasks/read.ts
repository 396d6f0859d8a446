import { join } from 'node:path';
import type { DuckDBBigIntVector, DuckDBBooleanVector, DuckDBVarCharVector } from '@duckdb/node-api';
import { z } from 'zod';
import { withDatabase } from '../data/query.js';
import { parquetFiles } from '../files/duckdb-files.js';
import { readJsonAs } from '../files/json.js';
import { requirePath } from '../files/path.js';
import { parquetPaths } from '../files/visible-files.js';
import type { IndexDate, Split } from '../types.js';

const TaskListEntry = z.strictObject({
	name: z.string(),
	label: z.string(),
	definition: z.string(),
	/** Null for a label set that came with the data. */
	horizonDays: z.number().nullable(),
	/** Folder of the labels, relative to the task folder. */
	directory: z.string(),
	/** Events that match the task's codes; 0 means that the codes do not fit the data. */
	matchingEvents: z.int().nullable(),
	samples: z.int(),
	positives: z.int(),
	patients: z.int(),
	excluded: z.strictObject({ censored: z.int(), prevalent: z.int(), inBuffer: z.int() }),
});
export type TaskListEntry = z.infer<typeof TaskListEntry>;

/** `tasks.json` of a task folder. */
export const TaskList = z.strictObject({
	format: z.literal('ehr-jepa/tasks'),
	version: z.literal(1),
	dataFingerprint: z.string(),
	/** How index dates were chosen, in words. */
	rule: z.string(),
	indexDates: z.strictObject({ train: z.int(), tuning: z.int(), held_out: z.int() }),
	tasks: z.array(TaskListEntry),
});
export type TaskList = z.infer<typeof TaskList>;

/** @throws {DataError} {ConfigError} */
export async function readTaskList(directory: string): Promise<TaskList> {
	requirePath('tasks', 'directory', directory);
	const file = join(directory, 'tasks.json');
	return readJsonAs(file, TaskList, {
		scope: 'tasks',
		rule: 'must be a task list',
		fix: 'give the folder that tasks wrote',
	});
}

export interface IndexDateRow extends IndexDate {
	readonly split: Split;
}

/** Rows of `index_dates.parquet` in file order. */
export async function readIndexDates(directory: string): Promise<IndexDateRow[]> {
	requirePath('tasks', 'directory', directory);
	return withDatabase({}, async (database) => {
		const rows: IndexDateRow[] = [];
		const file = parquetFiles(join(directory, 'index_dates.parquet'));
		for await (const chunk of database.stream(`SELECT subject_id, epoch_us(prediction_time), split FROM ${file}`)) {
			const subjects = chunk.getColumnVector(0) as DuckDBBigIntVector;
			const times = chunk.getColumnVector(1) as DuckDBBigIntVector;
			const names = chunk.getColumnVector(2) as DuckDBVarCharVector;
			for (let row = 0; row < chunk.rowCount; row++) {
				rows.push({
					subjectId: subjects.getItem(row)!,
					predictionTime: times.getItem(row)!,
					split: names.getItem(row)! as Split,
				});
			}
		}
		return rows;
	});
}

export interface LabelRow extends IndexDate {
	readonly value: boolean;
}

/** Labels of one task and horizon (MEDS label schema). */
export async function readLabels(directory: string): Promise<LabelRow[]> {
	requirePath('tasks', 'directory', directory);
	return withDatabase({}, async (database) => {
		const rows: LabelRow[] = [];
		const files = parquetFiles(await parquetPaths('tasks', directory));
		const sql = `SELECT subject_id::BIGINT, epoch_us(prediction_time::TIMESTAMP), boolean_value::BOOLEAN FROM ${files}`;
		for await (const chunk of database.stream(sql)) {
			const subjects = chunk.getColumnVector(0) as DuckDBBigIntVector;
			const times = chunk.getColumnVector(1) as DuckDBBigIntVector;
			const values = chunk.getColumnVector(2) as DuckDBBooleanVector;
			for (let row = 0; row < chunk.rowCount; row++) {
				rows.push({
					subjectId: subjects.getItem(row)!,
					predictionTime: times.getItem(row)!,
					value: values.getItem(row)!,
				});
			}
		}
		return rows;
	});
}

/** Key of a sample, for joins. */
export function sampleKey({ subjectId, predictionTime }: IndexDate): string {
	return `${subjectId}@${predictionTime}`;
}
