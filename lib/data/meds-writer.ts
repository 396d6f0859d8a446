import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { BIGINT, DuckDBDataChunk, FLOAT, INTEGER } from '@duckdb/node-api';
import type { Split } from '../types.js';
import { Database, fillColumn, quoted } from './query.js';
import { writeWhole } from './whole-file.js';

/** A code with its description for people. */
export interface CodeDescription {
	readonly code: string;
	readonly description: string;
}

/** Columns of many events at once, in the order they are to be stored. */
export interface EventColumns {
	readonly subjectIds: BigInt64Array;
	/** Microseconds; {@link staticTime} is null, a static row. */
	readonly times: BigInt64Array;
	/** Index into the codes given at creation. */
	readonly codes: Int32Array;
	/** NaN is null. */
	readonly values: Float32Array;
}

/** Stands for a null time in {@link EventColumns}. */
export const staticTime = -(2n ** 63n);

export interface DatasetMetadata {
	readonly dataset_name: string;
	readonly dataset_version: string;
	readonly etl_name: string;
	readonly etl_version: string;
	readonly created_at: string;
}

// Rows of one data chunk of DuckDB.
const chunkRows = 2048;

/**
 * Writes a strict MEDS 0.4 folder: `data/<split>/0.parquet`, `metadata/{codes,subject_splits}.parquet`,
 * `metadata/dataset.json`. Rows keep the order in which they came; the caller gives each subject's rows together, static
 * rows first, times ascending. `text_value` is optional in MEDS and left out.
 */
export class MedsWriter {
	readonly #out: string;
	readonly #database: Database;
	readonly #codes: readonly CodeDescription[];
	#position = 0n;

	private constructor(out: string, database: Database, codes: readonly CodeDescription[]) {
		this.#out = out;
		this.#database = database;
		this.#codes = codes;
	}

	/** @param out - An existing, empty folder. */
	static async create(out: string, codes: readonly CodeDescription[]): Promise<MedsWriter> {
		const database = await Database.open({ threads: 1 });
		await database.run('CREATE TABLE codes (id INTEGER, code VARCHAR, description VARCHAR)');
		const appender = await database.connection.createAppender('codes');
		for (const [id, { code, description }] of codes.entries()) {
			appender.appendInteger(id);
			appender.appendVarchar(code);
			appender.appendVarchar(description);
			appender.endRow();
		}
		appender.closeSync();
		await database.run('CREATE TABLE splits (subject_id BIGINT, split VARCHAR)');
		await database.run(
			'CREATE TABLE events (position BIGINT, split INTEGER, subject_id BIGINT, time BIGINT, code INTEGER, value FLOAT)',
		);
		return new MedsWriter(out, database, codes);
	}

	/** Adds the events of whole patients of one split. */
	async append(split: Split, columns: EventColumns): Promise<void> {
		const splitId = splitIds[split];
		const appender = await this.#database.connection.createAppender('events');
		const count = columns.subjectIds.length;
		for (let start = 0; start < count; start += chunkRows) {
			const end = Math.min(count, start + chunkRows);
			const chunk = DuckDBDataChunk.create([BIGINT, INTEGER, BIGINT, BIGINT, INTEGER, FLOAT]);
			chunk.rowCount = end - start;
			fillColumn(chunk, 0, () => this.#position++);
			fillColumn(chunk, 1, () => splitId);
			fillColumn(chunk, 2, (row) => columns.subjectIds[start + row]!);
			fillColumn(chunk, 3, (row) => {
				const time = columns.times[start + row]!;
				return time === staticTime ? null : time;
			});
			fillColumn(chunk, 4, (row) => columns.codes[start + row]!);
			fillColumn(chunk, 5, (row) => {
				const value = columns.values[start + row]!;
				return Number.isNaN(value) ? null : value;
			});
			appender.appendDataChunk(chunk);
		}
		appender.closeSync();
	}

	/** Names the split of each subject; a subject without events is a subject all the same. */
	async assign(split: Split, subjectIds: Iterable<bigint>): Promise<void> {
		const appender = await this.#database.connection.createAppender('splits');
		for (const subjectId of subjectIds) {
			appender.appendBigInt(subjectId);
			appender.appendVarchar(split);
			appender.endRow();
		}
		appender.closeSync();
	}

	/** Writes the files and frees the memory. */
	async finish(metadata: DatasetMetadata): Promise<void> {
		try {
			await mkdir(join(this.#out, 'metadata'), { recursive: true });
			for (const [split, id] of Object.entries(splitIds)) {
				const folder = join(this.#out, 'data', split);
				await mkdir(folder, { recursive: true });
				await this.#copy(
					`SELECT e.subject_id, make_timestamp(e.time) AS time, c.code, e.value AS numeric_value
					FROM events e JOIN codes c ON c.id = e.code WHERE e.split = ${id} ORDER BY e.position`,
					join(folder, '0.parquet'),
				);
			}
			// Every code of the data must be present; codes that never occurred are left out.
			await this.#copy(
				`SELECT code, description, NULL::VARCHAR[] AS parent_codes FROM codes
				WHERE id IN (SELECT DISTINCT code FROM events) ORDER BY code`,
				join(this.#out, 'metadata', 'codes.parquet'),
			);
			await this.#copy(
				'SELECT subject_id, split FROM splits ORDER BY subject_id',
				join(this.#out, 'metadata', 'subject_splits.parquet'),
			);
			const dataset = { ...metadata, meds_version: '0.4.0' };
			await writeWhole(join(this.#out, 'metadata', 'dataset.json'), `${JSON.stringify(dataset, undefined, '\t')}\n`);
		} finally {
			await this.#database.close();
		}
	}

	/** Frees the memory and removes what was written. */
	async abandon(): Promise<void> {
		await this.#database.close();
		await rm(join(this.#out, 'data'), { recursive: true, force: true });
		await rm(join(this.#out, 'metadata'), { recursive: true, force: true });
	}

	async #copy(select: string, file: string): Promise<void> {
		await this.#database.run(`COPY (${select}) TO ${quoted(file)} (FORMAT parquet, COMPRESSION zstd)`);
	}

	get codes(): readonly CodeDescription[] {
		return this.#codes;
	}
}

const splitIds: Readonly<Record<Split, number>> = { train: 0, tuning: 1, held_out: 2 };
