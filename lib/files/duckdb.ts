import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);

/**
 * DuckDB's package. It is loaded by the first call: its 180 files take a third of a second, which a process that trains, plans
 * or prints its help never needs.
 */
export function duckdb(): typeof import('@duckdb/node-api') {
	return require('@duckdb/node-api');
}

/** What that package is built upon: copies of whole vectors. */
export function duckdbBindings(): typeof import('@duckdb/node-bindings') {
	return require('@duckdb/node-bindings');
}

/** A column of a data chunk as those bindings know it. */
export type RawVector = ReturnType<ReturnType<typeof duckdbBindings>['data_chunk_get_vector']>;
