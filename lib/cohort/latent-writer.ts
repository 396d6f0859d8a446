import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Database } from '../data/query.js';
import { TableWriter } from '../data/table-writer.js';
import { copyToParquet } from '../files/duckdb-files.js';
import { diseaseAxes } from './disease-axes.js';

/** Folder of the true states within a simulated data set. */
export const latentsFolder = 'latents';
/** Patients of one file: about a million days, what a writer holds in memory. */
const patientsPerLatentFile = 512;

/**
 * Writes the true state of every patient and day: `latents/<n>.parquet` with subject_id, day (days since 1970-01-01) and one
 * column of severity per axis, in order of subject and day. File n holds patients 512 n to 512 n + 511.
 */
export class LatentWriter {
	readonly #out: string;
	readonly #database: Database;
	#days = new Int32Array(4096);
	#table: TableWriter | undefined;
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
		this.#table ??= await TableWriter.create(this.#database, 'latents', [
			['subject_id', BigInt64Array],
			['day', Int32Array],
			...diseaseAxes.map(({ name }) => [name, Float32Array] as const),
		]);
		if (this.#days.length < days) this.#days = new Int32Array(2 * days);
		for (let day = 0; day < days; day++) this.#days[day] = firstDay + day;
		this.#table.append([subjectId, this.#days, ...severity], 0, days);
	}

	/** Writes the file that is being made, if there is one. */
	async finish(): Promise<void> {
		if (this.#table === undefined) return;
		await this.#table.finish();
		this.#table = undefined;
		const path = join(this.#out, latentsFolder, `${this.#file}.parquet`);
		await this.#database.run(copyToParquet('FROM latents', path, ['COMPRESSION zstd']));
		await this.#database.run('DROP TABLE latents');
	}

	/** Frees the memory; a file that is not finished is not written. */
	async close(): Promise<void> {
		await this.#database.close();
	}
}
