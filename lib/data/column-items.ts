import type { DuckDBDataChunk } from '@duckdb/node-api';
import { duckdbBindings } from '../files/duckdb.js';

/**
 * Columns of a data chunk as typed arrays, with one copy: `getItem` costs a call, a check and, for BIGINT, an object for
 * each row. Columns must hold no null; the query replaces them.
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
