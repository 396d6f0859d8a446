import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DuckDBConnection, DuckDBDataChunk, DuckDBInstance, DuckDBValue } from '@duckdb/node-api';
import { AbortedError, contextOf, DataError } from '../errors.js';
import { duckdb } from '../files/duckdb.js';
import { databaseError } from '../files/duckdb-errors.js';

export { identifier, quoted } from '../files/sql-text.js';

export interface DatabaseOptions {
	/** What DuckDB may hold before it spills to disk, such as `1GB`. Not a hard cap: leave head-room. */
	readonly memoryLimit?: string;
	/** 1 keeps the order of rows and the bytes of files the same on every machine. */
	readonly threads?: number;
}

/** One in-memory DuckDB that spills to a temporary folder of its own. */
export class Database {
	readonly connection: DuckDBConnection;
	readonly #instance: DuckDBInstance;
	readonly #temporary: string;

	private constructor(instance: DuckDBInstance, connection: DuckDBConnection, temporary: string) {
		this.#instance = instance;
		this.connection = connection;
		this.#temporary = temporary;
	}

	static async open(options: DatabaseOptions = {}): Promise<Database> {
		const temporary = await mkdtemp(join(tmpdir(), 'ehr-jepa-'));
		const instance = await duckdb().DuckDBInstance.create(':memory:', {
			memory_limit: options.memoryLimit ?? '2GB',
			temp_directory: temporary,
			...(options.threads === undefined ? {} : { threads: String(options.threads) }),
		});
		const connection = await instance.connect();
		// Else a zoned time that is cast takes the zone of this machine, and the same files read differently elsewhere.
		await connection.run("SET GLOBAL TimeZone = 'UTC'");
		return new Database(instance, connection, temporary);
	}

	/** Runs a statement for its effect. */
	async run(sql: string): Promise<void> {
		await translated(() => this.connection.run(sql));
	}

	/** Rows of a small result as objects. Big results go through {@link Database.stream}. */
	async rows(sql: string): Promise<Record<string, DuckDBValue>[]> {
		return translated(async () => (await this.connection.runAndReadAll(sql)).getRowObjects());
	}

	/** Result in chunks of at most 2,048 rows, in order, without holding it whole. */
	async *stream(sql: string, signal?: AbortSignal): AsyncGenerator<DuckDBDataChunk> {
		const result = await translated(() => this.connection.stream(sql));
		for (;;) {
			if (signal?.aborted) throw new AbortedError('[query] aborted', { cause: signal.reason });
			const chunk = await translated(() => result.fetchChunk());
			if (chunk === null || chunk.rowCount === 0) return;
			yield chunk;
		}
	}

	async close(): Promise<void> {
		this.connection.closeSync();
		this.#instance.closeSync();
		await rm(this.#temporary, { recursive: true, force: true });
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.close();
	}
}

/** Runs `work` with a database that is closed whatever happens. */
export async function withDatabase<T>(options: DatabaseOptions, work: (database: Database) => Promise<T>): Promise<T> {
	const database = await Database.open(options);
	try {
		return await work(database);
	} finally {
		await database.close();
	}
}

/**
 * Runs queries over files: what the database refuses is said in the terms of the reader.
 *
 * @param file - The name that messages have, or how to find it from the name that the database tells.
 */
export async function reading<T>(
	scope: string,
	file: string | ((found: string) => string),
	work: () => Promise<T>,
): Promise<T> {
	try {
		return await work();
	} catch (error) {
		// What was refused elsewhere names its file already.
		if (!(error instanceof DataError) || !error.message.startsWith('[query]')) throw error;
		const name = typeof file === 'string' ? file : file(error.file);
		throw new DataError(scope, { ...contextOf(error), file: name }, { cause: error });
	}
}

/** {@link reading} with a database of its own. */
export async function queryFile<T>(
	scope: string,
	file: string,
	options: DatabaseOptions,
	work: (database: Database) => Promise<T>,
): Promise<T> {
	return reading(scope, file, () => withDatabase(options, work));
}

/** Runs work of DuckDB; what it throws comes out as our errors, without anything that was read. */
export async function translated<T>(work: () => Promise<T>): Promise<T> {
	try {
		return await work();
	} catch (error) {
		throw databaseError(error);
	}
}
