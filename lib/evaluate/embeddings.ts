import { setImmediate } from 'node:timers/promises';
import type { DuckDBBigIntVector } from '@duckdb/node-api';
import { Float64Lists } from '../data/column-items.js';
import { requireColumns } from '../data/parquet-columns.js';
import { identifier, queryFile, withDatabase } from '../data/query.js';
import { chunkRows } from '../data/table-columns.js';
import { TableWriter } from '../data/table-writer.js';
import { DataError, OutputError } from '../errors.js';
import { copyToParquet, keyValueMetadata, parquetFiles } from '../files/duckdb-files.js';
import { requirePath } from '../files/path.js';
import { writeWholeFile } from '../files/whole.js';
import { type HiddenStates, hiddenStateNumbers } from '../model/hidden-states.js';
import type { EncoderChoice, Pooling, WorldModel } from '../model/world-model.js';
import { alone, type WorkDivision } from '../ranks/work-division.js';
import {
	type ContextCounts,
	type IndexBatch,
	indexBatches,
	noContexts,
	type TimelineStore,
} from '../sample/index-windows.js';
import { type IndexDate, type LongOperation, splits } from '../types.js';
import type { FeatureTable } from './features.js';
import { writeFloat16States } from './float16-file.js';
import {
	Float32Precision,
	finiteNumbers,
	finiteTimeSql,
	requireFinite,
	sampleColumns,
	sampleOf,
	UniqueSamples,
} from './state-rows.js';

export interface EmbedOptions extends LongOperation {
	/** Tokens of history before the index date; the same as in training fits best. */
	readonly contextTokens: number;
	readonly tokensPerBatch?: number | undefined;
	readonly pooling?: Pooling | undefined;
	readonly encoder?: EncoderChoice | undefined;
	/** Which hidden states, one after another; absent: `last`. */
	readonly layers?: HiddenStates | undefined;
	/** Among processes that compute the states together; absent: this one alone. */
	readonly division?: WorkDivision | undefined;
}

/** States, and what became of the index dates that were asked for. */
export interface EmbeddedStates extends FeatureTable {
	readonly counts: Readonly<ContextCounts>;
}

/**
 * Frozen states of patients at index dates: what is known up to and including the prediction time goes through the
 * encoder, and one vector comes out. Index dates of a patient whose contexts begin alike share one pass of the causal encoder:
 * each has the state that a pass of its own would give, but for rounding. Index dates without any token (unknown subject) are
 * left out of the table and counted. In a process that does not write the result, states of others are zeros.
 *
 * @throws {AbortedError} {NativeError}
 */
export async function embed(
	model: WorldModel,
	store: TimelineStore,
	indexDates: readonly IndexDate[],
	options: EmbedOptions,
): Promise<EmbeddedStates> {
	const { layers = 'last', division = alone } = options;
	const columns = model.hiddenSize * hiddenStateNumbers(layers, model.depth).length;
	const states = new Float32Array(indexDates.length * columns);
	const filled = new Uint8Array(indexDates.length);
	let counts = noContexts();
	let done = 0;
	const batches = () => {
		counts = noContexts();
		return indexBatches(splits.map(store.split), store.vocabulary, indexDates, {
			contextTokens: options.contextTokens,
			tokensPerBatch: options.tokensPerBatch ?? 8192,
			counts,
		});
	};
	const compute = async ({ batch, ends, rows }: IndexBatch) => {
		const values = await model.embed(batch, {
			ends,
			layers,
			...(options.pooling === undefined ? {} : { pooling: options.pooling }),
			...(options.encoder === undefined ? {} : { encoder: options.encoder }),
			signal: options.signal,
		});
		done += rows.reduce((sum, dates) => sum + dates.length, 0);
		options.onProgress?.({ stage: 'embed', done, total: indexDates.length, unit: 'index dates' });
		return values;
	};
	for await (const [{ rows }, values] of division.each(batches, compute)) {
		for (const [i, dates] of rows.entries()) {
			for (const row of dates) {
				if (values !== undefined) states.set(values.subarray(i * columns, (i + 1) * columns), row * columns);
				filled[row] = 1;
			}
		}
	}
	const kept = [...indexDates.keys()].filter((row) => filled[row] === 1);
	for (const [i, row] of kept.entries()) states.copyWithin(i * columns, row * columns, (row + 1) * columns);
	return {
		values: states.subarray(0, kept.length * columns),
		rows: kept.length,
		columns,
		samples: kept.map((row) => indexDates[row]!),
		counts,
	};
}

/** What numbers of states are written as: float16 takes half the room and keeps three digits. */
export const statesDtypes = ['float32', 'float16'] as const;
export type StatesDtype = (typeof statesDtypes)[number];

/**
 * Writes embeddings as parquet: subject_id BIGINT, prediction_time TIMESTAMP, embedding a list of float32 or float16; `metadata`
 * goes into the file's key-value pairs.
 *
 * @throws {DataError} For a number beyond float16. {OutputError}
 */
export async function writeEmbeddings(
	path: string,
	table: FeatureTable,
	metadata: Readonly<Record<string, string>>,
	dtype: StatesDtype = 'float32',
): Promise<void> {
	requirePath('embed', 'path', path);
	const write = dtype === 'float16' ? writeFloat16States : writeFloat32States;
	try {
		await writeWholeFile(path, (temporary) => write(temporary, table, metadata));
	} catch (cause) {
		if (cause instanceof DataError && cause.column === undefined)
			throw new OutputError(`[embed] ${path} could not be written: ${cause.message}`, { cause });
		throw cause;
	}
}

async function writeFloat32States(
	path: string,
	table: FeatureTable,
	metadata: Readonly<Record<string, string>>,
): Promise<void> {
	const { samples, values, columns } = table;
	const states = samples.map(({ subjectId }, row) => {
		const state = values.subarray(row * columns, (row + 1) * columns);
		requireFinite({ scope: 'embed', file: path, row, subjectId }, 'embedding', state);
		return state;
	});
	const subjects = BigInt64Array.from(samples, ({ subjectId }) => subjectId);
	const times = BigInt64Array.from(samples, ({ predictionTime }) => predictionTime);
	await withDatabase({ threads: 1 }, async (database) => {
		const writer = await TableWriter.create(database, 'e', [
			['subject_id', BigInt64Array],
			['t', BigInt64Array],
			['embedding', 'FLOAT[]'],
		]);
		for (let row = 0; row < samples.length; row += chunkRows) {
			writer.append([subjects, times, states], row, Math.min(row + chunkRows, samples.length));
			await setImmediate();
		}
		await writer.finish();
		await database.run(
			copyToParquet('SELECT subject_id, make_timestamp(t) AS prediction_time, embedding FROM e', path, [
				'COMPRESSION zstd',
				...keyValueMetadata(metadata),
			]),
		);
	});
}

/**
 * Reads embeddings: any list of numbers, each row checked.
 *
 * @param column - The list.
 * @throws {DataError} For a file without embeddings, rows of different widths, a null, NaN or infinity, a sample that occurs
 * twice; names file, row and subject.
 */
export async function readEmbeddings(path: string, column = 'embedding'): Promise<FeatureTable> {
	requirePath('embeddings', 'path', path);
	return queryFile('embeddings', path, {}, async (database) => {
		await requireColumns(database, 'embeddings', path, { ...sampleColumns, [column]: 'a list of numbers' });
		const list = identifier(column);
		const file = parquetFiles(path, { rowNumbers: true });
		const [shape] = await database.rows(
			`SELECT count(*)::INTEGER AS n, min(len(${list}))::INTEGER AS low, max(len(${list}))::INTEGER AS high FROM ${file}`,
		);
		const rows = Number(shape?.n ?? 0);
		const columns = Number(shape?.low ?? 0);
		if (rows === 0)
			throw new DataError('embeddings', { file: path, rule: 'must hold at least one row', value: 'none' });
		if (shape?.low !== null && (columns === 0 || columns !== Number(shape?.high))) {
			const [odd] = await database.rows(
				`SELECT file_row_number AS row, subject_id, len(${list}) AS width FROM ${file}
				WHERE len(${list}) IN (0, ${columns}) ORDER BY file_row_number LIMIT 1`,
			);
			const most = Number(shape?.high);
			throw new DataError('embeddings', {
				file: path,
				column,
				rule: 'must hold vectors of one width, at least one number long',
				value: `${odd?.width} numbers in row ${odd?.row}, subject ${odd?.subject_id}${most === columns ? '' : `, where others have up to ${most}`}`,
			});
		}
		const values = new Float32Array(rows * columns);
		const samples: IndexDate[] = [];
		const precision = new Float32Precision(columns);
		const unique = new UniqueSamples();
		for await (const chunk of database.stream(
			`SELECT subject_id::BIGINT, ${finiteTimeSql}, file_row_number, ${list}::DOUBLE[] FROM ${file}`,
		)) {
			const [subjects, times, numbers] = [0, 1, 2].map((c) => chunk.getColumnVector(c) as DuckDBBigIntVector);
			const lists = new Float64Lists(chunk, 3);
			for (let row = 0; row < chunk.rowCount; row++) {
				const subjectId = subjects!.getItem(row);
				const place = { scope: 'embeddings', file: path, row: numbers!.getItem(row)!, subjectId };
				const sample = sampleOf(place, subjectId, times!.getItem(row));
				unique.add(place, sample);
				const row32 = finiteNumbers(place, column, lists, row);
				precision.add(lists.numbers(row)!, row32);
				values.set(row32, samples.length * columns);
				samples.push(sample);
			}
		}
		precision.check({ scope: 'embeddings', file: path }, column);
		return { values, rows, columns, samples };
	});
}
