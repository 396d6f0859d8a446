import type { DuckDBDataChunk } from '@duckdb/node-api';
import { duckdbBindings, type RawVector } from '../files/duckdb.js';

/**
 * Columns of a data chunk as typed arrays, with one copy: `getItem` costs a call, a check and, for BIGINT, an object for
 * each row. Columns must hold no null; the query replaces them. Lists may.
 */
function bytes(chunk: DuckDBDataChunk, column: number, width: number): Uint8Array {
	const bindings = duckdbBindings();
	return bindings.vector_get_data(bindings.data_chunk_get_vector(chunk.chunk, column), chunk.rowCount * width);
}

export function int32Items(chunk: DuckDBDataChunk, column: number): Int32Array {
	const { buffer, byteOffset } = bytes(chunk, column, 4);
	return new Int32Array(buffer, byteOffset, chunk.rowCount);
}

export function float32Items(chunk: DuckDBDataChunk, column: number): Float32Array {
	const { buffer, byteOffset } = bytes(chunk, column, 4);
	return new Float32Array(buffer, byteOffset, chunk.rowCount);
}

/** BIGINT as pairs of 32-bit words, low word first: V8 makes an object of each element of a BigInt64Array. */
export function int64Words(chunk: DuckDBDataChunk, column: number): Int32Array {
	const { buffer, byteOffset } = bytes(chunk, column, 8);
	return new Int32Array(buffer, byteOffset, 2 * chunk.rowCount);
}

/** Lists of a DOUBLE[] column. */
export class Float64Lists {
	// (rows x 2) where each list begins, and its length.
	readonly #entries: BigUint64Array;
	readonly #items: Float64Array;
	readonly #given: Given;
	readonly #itemGiven: Given;

	constructor(chunk: DuckDBDataChunk, column: number) {
		const bindings = duckdbBindings();
		const vector = bindings.data_chunk_get_vector(chunk.chunk, column);
		const entries = bytes(chunk, column, 16);
		this.#entries = new BigUint64Array(entries.buffer, entries.byteOffset, 2 * chunk.rowCount);
		this.#given = new Given(vector, chunk.rowCount);
		const child = bindings.list_vector_get_child(vector);
		const count = bindings.list_vector_get_size(vector);
		const items = bindings.vector_get_data(child, count * 8);
		this.#items = new Float64Array(items.buffer, items.byteOffset, count);
		this.#itemGiven = new Given(child, count);
	}

	/** The numbers of a row, whatever stands where one is null; undefined for a null in place of a list. */
	numbers(row: number): Float64Array | undefined {
		if (!this.#given.at(row)) return undefined;
		const { start, end } = this.#range(row);
		return this.#items.subarray(start, end);
	}

	/** Place of the first null among the numbers of a row, or -1. */
	firstNull(row: number): number {
		if (this.#itemGiven.all) return -1;
		const { start, end } = this.#range(row);
		for (let i = start; i < end; i++) if (!this.#itemGiven.at(i)) return i - start;
		return -1;
	}

	#range(row: number): { start: number; end: number } {
		const start = Number(this.#entries[2 * row]!);
		return { start, end: start + Number(this.#entries[2 * row + 1]!) };
	}
}

/** Which items of a vector are not null: one bit each. */
class Given {
	readonly #bits: Uint8Array | null;

	constructor(vector: RawVector, count: number) {
		this.#bits = duckdbBindings().vector_get_validity(vector, 8 * Math.ceil(count / 64));
	}

	get all(): boolean {
		return this.#bits === null;
	}

	at(item: number): boolean {
		return this.#bits === null || ((this.#bits[item >> 3]! >> (item & 7)) & 1) === 1;
	}
}
