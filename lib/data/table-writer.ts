import type { DuckDBAppender, DuckDBDataChunk } from '@duckdb/node-api';
import { duckdb, duckdbBindings } from '../files/duckdb.js';
import { type Database, translated } from './query.js';

// Rows of a full data chunk of DuckDB.
const chunkRows = 2048;

/** Columns as they are copied: the kind of array says the type of the column. */
export type Column = BigInt64Array | Float64Array | Float32Array | Int32Array | Uint8Array;
type ArrayKind = new (length: number) => Column;
const typeNames = new Map<ArrayKind, 'BIGINT' | 'DOUBLE' | 'FLOAT' | 'INTEGER' | 'UTINYINT'>([
	[BigInt64Array, 'BIGINT'],
	[Float64Array, 'DOUBLE'],
	[Float32Array, 'FLOAT'],
	[Int32Array, 'INTEGER'],
	[Uint8Array, 'UTINYINT'],
]);

/** Appends columns of numbers to a table in full chunks, one copy a column: several times as fast as row by row. No nulls. */
export class TableWriter {
	readonly #appender: DuckDBAppender;
	readonly #chunk: DuckDBDataChunk;
	readonly #columns: readonly Column[];
	#rows = 0;

	private constructor(appender: DuckDBAppender, chunk: DuckDBDataChunk, columns: readonly Column[]) {
		this.#appender = appender;
		this.#chunk = chunk;
		this.#columns = columns;
	}

	/** @param columns - Name and kind of array of each. */
	static async create(
		database: Database,
		table: string,
		columns: readonly (readonly [name: string, kind: ArrayKind])[],
	): Promise<TableWriter> {
		const library = duckdb();
		const types = columns.map(([, kind]) => typeNames.get(kind)!);
		await database.run(`CREATE TABLE ${table} (${columns.map(([name], c) => `"${name}" ${types[c]}`).join(', ')})`);
		const appender = await database.connection.createAppender(table);
		const chunk = library.DuckDBDataChunk.create(types.map((type) => library[type]));
		return new TableWriter(
			appender,
			chunk,
			columns.map(([, ArrayOf]) => new ArrayOf(chunkRows)),
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
		const bindings = duckdbBindings();
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
