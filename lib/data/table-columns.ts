import { duckdb, duckdbBindings, type RawVector } from '../files/duckdb.js';

/** Rows of a full data chunk of DuckDB. */
export const chunkRows = 2048;
// 4 MiB of lists in a chunk, unless one list alone is longer.
const chunkNumbers = 1 << 20;

/** Numbers of a column; the kind of array says the column's type. */
type Numbers = BigInt64Array | Float64Array | Float32Array | Int32Array | Uint8Array;
/** Numbers, one bigint that stands for a column of it, or a list of numbers for each row. */
export type ColumnValues = Numbers | bigint | readonly Float32Array[];
type NumbersKind = new (length: number) => Numbers;
/** What a column is made of. */
export type ColumnKind = NumbersKind | 'FLOAT[]';

type NumbersType = 'BIGINT' | 'DOUBLE' | 'FLOAT' | 'INTEGER' | 'UTINYINT';
const typeNames = new Map<NumbersKind, NumbersType>([
	[BigInt64Array, 'BIGINT'],
	[Float64Array, 'DOUBLE'],
	[Float32Array, 'FLOAT'],
	[Int32Array, 'INTEGER'],
	[Uint8Array, 'UTINYINT'],
]);

/** One column of the chunk that is being filled. Vectors are copied whole: no call and no object for each number. */
export interface ColumnBuffer {
	/** In SQL and as DuckDB's package has it. */
	readonly sql: string;
	readonly type: import('@duckdb/node-api').DuckDBType;
	/** How many of the next `rows` rows fit, of which at least one does when `filled` is 0. */
	room(values: ColumnValues, from: number, rows: number, filled: number): number;
	/** Takes rows `from` to `from + rows` as rows `filled` and on of the chunk. */
	take(values: ColumnValues, from: number, rows: number, filled: number): void;
	/** Copies the first `rows` rows into a vector of DuckDB and begins anew. */
	flush(vector: RawVector, rows: number): void;
}

export function columnBuffer(kind: ColumnKind): ColumnBuffer {
	return kind === 'FLOAT[]' ? new ListBuffer() : new NumberBuffer(kind);
}

class NumberBuffer implements ColumnBuffer {
	readonly sql: NumbersType;
	readonly #items: Numbers;

	constructor(kind: NumbersKind) {
		this.sql = typeNames.get(kind)!;
		this.#items = new kind(chunkRows);
	}

	get type() {
		return duckdb()[this.sql];
	}

	room(_: ColumnValues, __: number, rows: number): number {
		return rows;
	}

	take(values: ColumnValues, from: number, rows: number, filled: number): void {
		if (typeof values === 'bigint') (this.#items as BigInt64Array).fill(values, filled, filled + rows);
		else (this.#items as Float64Array).set((values as Float64Array).subarray(from, from + rows), filled);
	}

	flush(vector: RawVector, rows: number): void {
		copy(vector, this.#items.subarray(0, rows));
	}
}

class ListBuffer implements ColumnBuffer {
	readonly sql = 'FLOAT[]';
	// (rows x 2) where each list begins, and its length.
	readonly #entries = new BigUint64Array(2 * chunkRows);
	#items = new Float32Array(chunkNumbers);
	#length = 0;

	get type() {
		const { FLOAT, LIST } = duckdb();
		return LIST(FLOAT);
	}

	room(values: ColumnValues, from: number, rows: number, filled: number): number {
		const lists = values as readonly Float32Array[];
		let length = this.#length;
		for (let row = 0; row < rows; row++) {
			length += lists[from + row]!.length;
			if (length > chunkNumbers && filled + row > 0) return row;
		}
		return rows;
	}

	take(values: ColumnValues, from: number, rows: number, filled: number): void {
		for (let row = 0; row < rows; row++) {
			const list = (values as readonly Float32Array[])[from + row]!;
			const end = this.#length + list.length;
			if (end > this.#items.length) {
				const larger = new Float32Array(end);
				larger.set(this.#items.subarray(0, this.#length));
				this.#items = larger;
			}
			this.#items.set(list, this.#length);
			this.#entries.set([BigInt(this.#length), BigInt(list.length)], 2 * (filled + row));
			this.#length = end;
		}
	}

	flush(vector: RawVector, rows: number): void {
		const bindings = duckdbBindings();
		bindings.list_vector_reserve(vector, this.#length);
		bindings.list_vector_set_size(vector, this.#length);
		copy(bindings.list_vector_get_child(vector), this.#items.subarray(0, this.#length));
		copy(vector, this.#entries.subarray(0, 2 * rows));
		this.#length = 0;
	}
}

function copy(vector: RawVector, { buffer, byteOffset, byteLength }: Numbers | BigUint64Array): void {
	duckdbBindings().copy_data_to_vector(vector, 0, buffer as ArrayBuffer, byteOffset, byteLength);
}
