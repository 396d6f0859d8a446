import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { copyToParquet } from '../files/duckdb-files.js';
import { writeWhole } from '../files/whole.js';
import { type Split, splits } from '../types.js';
import { Database, quoted, withDatabase } from './query.js';
import { TableWriter } from './table-writer.js';

/** A code with its description for people. */
export interface CodeDescription {
	readonly code: string;
	readonly description: string;
}

/** Events of one subject in the order they are to be stored: static rows first, times ascending. */
export interface EventColumns {
	/** Rows in use; the arrays may be longer. */
	readonly count: number;
	/** Whole microseconds since 1970-01-01, exact up to the year 2255; -Infinity is a null time, a static row. */
	readonly times: Float64Array;
	/** Index into the codes given at creation. */
	readonly codes: Int32Array;
	/** NaN is null. */
	readonly values: Float32Array;
}

export interface DatasetMetadata {
	readonly dataset_name: string;
	readonly dataset_version: string;
	readonly etl_name: string;
	readonly etl_version: string;
	readonly created_at: string;
}

/**
 * Writes the data files of a strict MEDS 0.4 folder, one shard at a time: `data/<split>/<shard>.parquet`. Rows keep the
 * order in which they came. `text_value` is optional in MEDS and left out. Holds one shard in memory; several writers, each
 * with shards of its own, may write one folder.
 */
export class MedsShardWriter {
	readonly #out: string;
	readonly #database: Database;
	readonly #tables = new Map<Split, TableWriter>();

	private constructor(out: string, database: Database) {
		this.#out = out;
		this.#database = database;
	}

	/** @param out - Root of the data set. @param codes - At most 2^31. */
	static async create(out: string, codes: readonly string[]): Promise<MedsShardWriter> {
		// One thread keeps the order of rows.
		const database = await Database.open({ threads: 1, memoryLimit: '1GB' });
		try {
			const list = codes.map(quoted).join(', ');
			await database.run(`SET VARIABLE codes = [${list}]::VARCHAR[]`);
			for (const split of splits) await mkdir(join(out, 'data', split), { recursive: true });
			return new MedsShardWriter(out, database);
		} catch (cause) {
			await database.close();
			throw cause;
		}
	}

	/** Adds the events of one subject to the shard that is being made. */
	async append(split: Split, subjectId: bigint, { count, times, codes, values }: EventColumns): Promise<void> {
		let table = this.#tables.get(split);
		if (table === undefined) {
			table = await TableWriter.create(this.#database, split, [
				['subject_id', BigInt64Array],
				['time', Float64Array],
				['code', Int32Array],
				['value', Float32Array],
			]);
			this.#tables.set(split, table);
		}
		table.append([subjectId, times, codes, values], 0, count);
	}

	/** Writes the shard's files, one for each split that has subjects in it, and forgets it. */
	async finish(shard: number): Promise<void> {
		for (const [split, table] of this.#tables) {
			await table.finish();
			await this.#database.run(
				copyToParquet(
					`SELECT subject_id, CASE WHEN isfinite(time) THEN make_timestamp(time::BIGINT) END AS time,
						getvariable('codes')[code + 1] AS code, CASE WHEN NOT isnan(value) THEN value END AS numeric_value
					FROM ${split}`,
					join(this.#out, 'data', split, `${shard}.parquet`),
					['COMPRESSION zstd'],
				),
			);
			await this.#database.run(`DROP TABLE ${split}`);
		}
		this.#tables.clear();
	}

	/** Frees the memory; a shard that is not finished is not written. */
	async close(): Promise<void> {
		await this.#database.close();
	}
}

/**
 * Writes `metadata/`: the codes, the splits and `dataset.json`.
 *
 * @param codes - Every code of the data.
 * @param subjects - Runs of subjects in ascending order, each with the index in `splits` of each subject; a subject without
 * events is a subject all the same.
 */
export async function writeMedsMetadata(
	out: string,
	metadata: DatasetMetadata,
	codes: readonly CodeDescription[],
	subjects: Iterable<{ readonly subjectIds: BigInt64Array; readonly splitOf: Uint8Array }>,
): Promise<void> {
	const folder = join(out, 'metadata');
	await mkdir(folder, { recursive: true });
	await withDatabase({ threads: 1 }, async (database) => {
		const copy = (select: string, file: string) =>
			database.run(copyToParquet(select, join(folder, file), ['COMPRESSION zstd']));
		const rows = codes.map(({ code, description }) => `(${quoted(code)}, ${quoted(description)})`).join(', ');
		await copy(
			`SELECT code, description, NULL::VARCHAR[] AS parent_codes FROM (VALUES ${rows}) AS c(code, description) ORDER BY code`,
			'codes.parquet',
		);
		await writeSubjectSplits(database, folder, subjects);
	});
	const dataset = { ...metadata, meds_version: '0.4.0' };
	await writeWhole(join(folder, 'dataset.json'), `${JSON.stringify(dataset, undefined, '\t')}\n`);
}

/** Writes `subject_splits.parquet`. @param subjects - As for {@link writeMedsMetadata}. */
export async function writeSubjectSplits(
	database: Database,
	folder: string,
	subjects: Iterable<{ readonly subjectIds: BigInt64Array; readonly splitOf: Uint8Array }>,
): Promise<void> {
	const table = await TableWriter.create(database, 'subjects', [
		['subject_id', BigInt64Array],
		['split', Uint8Array],
	]);
	for (const { subjectIds, splitOf } of subjects) table.append([subjectIds, splitOf], 0, subjectIds.length);
	await table.finish();
	const names = `[${splits.map(quoted).join(', ')}]`;
	const select = `SELECT subject_id, ${names}[split + 1] AS split FROM subjects`;
	await database.run(copyToParquet(select, join(folder, 'subject_splits.parquet'), ['COMPRESSION zstd']));
}
