import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { BIGINT, type DuckDBAppender, DuckDBDataChunk, FLOAT, INTEGER } from '@duckdb/node-api';
import { chunkRows, copyColumn, Database, quoted } from '../data/query.js';
import { diseaseAxes } from './disease-axes.js';

/** Folder of the true states within a simulated data set. */
export const latentsFolder = 'latents';
/** Patients of one file: about a million days, what a writer holds in memory. */
export const patientsPerLatentFile = 512;

/**
 * Writes the true state of every patient and day: `latents/<n>.parquet` with subject_id, day (days since 1970-01-01) and one
 * column of severity per axis, in order of subject and day. File n holds patients 512 n to 512 n + 511.
 */
export class LatentWriter {
	readonly #out: string;
	readonly #database: Database;
	readonly #subjectIds = new BigInt64Array(chunkRows);
	readonly #days = new Int32Array(chunkRows);
	#appender: DuckDBAppender | undefined;
	#file = 0;

	private constructor(out: string, database: Database) {
		this.#out = out;
		this.#database = database;
	}

	/** @param out - Root of the data set. */
	static async create(out: string): Promise<LatentWriter> {
		await mkdir(join(out, latentsFolder), { recursive: true });
		return new LatentWriter(out, await Database.open({ threads: 1, memoryLimit: '1GB' }));
	}

	/**
	 * Adds a patient; the patients of one file must come in order and together.
	 *
	 * @param index - From 0.
	 * @param severity - One column per axis, of which the first `days` rows are used.
	 */
	async append(
		index: number,
		subjectId: bigint,
		firstDay: number,
		days: number,
		severity: readonly Float32Array[],
	): Promise<void> {
		const file = Math.floor(index / patientsPerLatentFile);
		if (file !== this.#file) await this.finish();
		this.#file = file;
		this.#appender ??= await this.#open();
		this.#subjectIds.fill(subjectId);
		for (let start = 0; start < days; start += chunkRows) {
			const count = Math.min(chunkRows, days - start);
			for (let row = 0; row < count; row++) this.#days[row] = firstDay + start + row;
			const chunk = DuckDBDataChunk.create([BIGINT, INTEGER, ...diseaseAxes.map(() => FLOAT)], count);
			copyColumn(chunk, 0, this.#subjectIds.subarray(0, count));
			copyColumn(chunk, 1, this.#days.subarray(0, count));
			for (const [k, column] of severity.entries()) copyColumn(chunk, 2 + k, column.subarray(start, start + count));
			this.#appender.appendDataChunk(chunk);
		}
	}

	/** Writes the file that is being made, if there is one. */
	async finish(): Promise<void> {
		if (this.#appender === undefined) return;
		this.#appender.closeSync();
		this.#appender = undefined;
		const path = join(this.#out, latentsFolder, `${this.#file}.parquet`);
		await this.#database.run(`COPY latents TO ${quoted(path)} (FORMAT parquet, COMPRESSION zstd)`);
		await this.#database.run('DROP TABLE latents');
	}

	/** Frees the memory; a file that is not finished is not written. */
	async close(): Promise<void> {
		await this.#database.close();
	}

	async #open(): Promise<DuckDBAppender> {
		const columns = diseaseAxes.map((axis) => `${axis.name} FLOAT`).join(', ');
		await this.#database.run(`CREATE TABLE latents (subject_id BIGINT, day INTEGER, ${columns})`);
		return this.#database.connection.createAppender('latents');
	}
}
