import { type DuckDBAppender, DuckDBDataChunk, type DuckDBType } from '@duckdb/node-api';
import bindings from '@duckdb/node-bindings';
import { type Database, translated } from './query.js';

// Rows of a full data chunk of DuckDB.
const chunkRows = 2048;

/** Columns as they are copied: the array's type is that of the column (BIGINT: BigInt64Array, DOUBLE: Float64Array ...). */
export type Column = BigInt64Array | Float64Array | Float32Array | Int32Array | Uint8Array;

/** Appends columns of numbers to a table in full chunks, one copy a column: several times as fast as row by row. No nulls. */
export class TableWriter {
	readonly #appender: DuckDBAppender;
	readonly #chunk: DuckDBDataChunk;
	readonly #columns: readonly Column[];
	#rows = 0;

	private constructor(appender: DuckDBAppender, types: readonly DuckDBType[], columns: readonly Column[]) {
		this.#appender = appender;
		this.#chunk = DuckDBDataChunk.create(types);
		this.#columns = columns;
	}

	/** @param columns - Name, type and an array of the type's kind for each column. */
	static async create(
		database: Database,
		table: string,
		columns: readonly (readonly [name: string, type: DuckDBType, array: new (length: number) => Column])[],
	): Promise<TableWriter> {
		await database.run(`CREATE TABLE ${table} (${columns.map(([name, type]) => `"${name}" ${type}`).join(', ')})`);
		const appender = await database.connection.createAppender(table);
		return new TableWriter(
			appender,
			columns.map(([, type]) => type),
			columns.map(([, , ArrayOf]) => new ArrayOf(chunkRows)),
		);
	}

	/** Adds rows `start` to `end` of the given columns; a bigint stands for a column of it. */
	append(values: readonly (Column | bigint)[], start: number, end: number): void {
		for (let from = start; from < end; ) {
			const rows = Math.min(end - from, chunkRows - this.#rows);
			for (const [c, column] of this.#columns.entries()) {
				const value = values[c]!;
				if (typeof value === 'bigint') (column as BigInt64Array).fill(value, this.#rows, this.#rows + rows);
				else (column as Float64Array).set(value.subarray(from, from + rows) as Float64Array, this.#rows);
			}
			this.#rows += rows;
			from += rows;
			if (this.#rows === chunkRows) this.#flush();
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
			// What a vector's own `setItem` and `flush` end in, without a call and a check for each row.
			const vector = bindings.data_chunk_get_vector(chunk.chunk, c);
			const bytes = this.#rows * column.BYTES_PER_ELEMENT;
			bindings.copy_data_to_vector(vector, 0, column.buffer as ArrayBuffer, column.byteOffset, bytes);
		}
		this.#appender.appendDataChunk(chunk);
		this.#rows = 0;
	}
}
