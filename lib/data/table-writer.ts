import type { DuckDBAppender, DuckDBDataChunk } from '@duckdb/node-api';
import { duckdb, duckdbBindings } from '../files/duckdb.js';
import { type Database, translated } from './query.js';
import { type ColumnBuffer, type ColumnKind, type ColumnValues, chunkRows, columnBuffer } from './table-columns.js';

/**
 * Appends columns to a table in full chunks, one copy a column: several times as fast as row by row. No nulls; an empty list
 * may stand for one.
 */
export class TableWriter {
	readonly #appender: DuckDBAppender;
	readonly #chunk: DuckDBDataChunk;
	readonly #columns: readonly ColumnBuffer[];
	#rows = 0;

	private constructor(appender: DuckDBAppender, chunk: DuckDBDataChunk, columns: readonly ColumnBuffer[]) {
		this.#appender = appender;
		this.#chunk = chunk;
		this.#columns = columns;
	}

	/** @param columns - Name and kind of each. */
	static async create(
		database: Database,
		table: string,
		columns: readonly (readonly [name: string, kind: ColumnKind])[],
	): Promise<TableWriter> {
		const buffers = columns.map(([, kind]) => columnBuffer(kind));
		await database.run(
			`CREATE TABLE ${table} (${columns.map(([name], c) => `"${name}" ${buffers[c]!.sql}`).join(', ')})`,
		);
		const appender = await database.connection.createAppender(table);
		const chunk = duckdb().DuckDBDataChunk.create(buffers.map(({ type }) => type));
		return new TableWriter(appender, chunk, buffers);
	}

	/** Adds rows `start` to `end` of the given columns. */
	append(values: readonly ColumnValues[], start: number, end: number): void {
		for (let from = start; from < end; ) {
			let rows = Math.min(end - from, chunkRows - this.#rows);
			for (const [c, column] of this.#columns.entries()) {
				rows = column.room(values[c]!, from, rows, this.#rows);
			}
			for (const [c, column] of this.#columns.entries()) column.take(values[c]!, from, rows, this.#rows);
			this.#rows += rows;
			from += rows;
			if (from < end || this.#rows === chunkRows) this.#flush();
		}
	}

	/** Hands over the last rows; the table is whole after it. */
	async finish(): Promise<void> {
		if (this.#rows > 0) this.#flush();
		await translated(async () => this.#appender.closeSync());
	}

	#flush(): void {
		const chunk = this.#chunk;
		chunk.reset();
		chunk.rowCount = this.#rows;
		for (const [c, column] of this.#columns.entries()) {
			// What a vector's own `setItem` and `flush` end in.
			column.flush(duckdbBindings().data_chunk_get_vector(chunk.chunk, c), this.#rows);
		}
		this.#appender.appendDataChunk(chunk);
		this.#rows = 0;
	}
}
