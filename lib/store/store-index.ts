import { readFileSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import {
	type AsyncRecordBatchFileReader,
	Field,
	Int32,
	Int64,
	makeData,
	RecordBatch,
	RecordBatchFileWriter,
	RecordBatchReader,
	Schema,
	Struct,
	tableFromIPC,
} from 'apache-arrow';
import { LRUCache } from 'lru-cache';
import { DataError } from '../errors.js';
import { faultOf } from '../files/faults.js';

/** Where a patient is, and how long. */
export interface IndexEntry {
	readonly subjectId: bigint;
	/** Number of the data file: `00012.arrow` is 12. */
	readonly file: number;
	readonly batch: number;
	readonly row: number;
	readonly tokens: number;
	readonly days: number;
}

/** Columns of a split's patients, in order of subject_id. */
export interface IndexColumns {
	readonly subjectIds: BigInt64Array;
	readonly files: Int32Array;
	readonly batches: Int32Array;
	readonly rows: Int32Array;
	readonly tokens: Int32Array;
	readonly days: Int32Array;
}

/** Rows of each record batch but the last: the place of a row in the file follows from its number. */
const indexBatchRows = 8192;

const int32 = (name: string) => new Field(name, new Int32(), false);
const indexSchema = new Schema([
	new Field('subject_id', new Int64(), false),
	int32('file'),
	int32('batch'),
	int32('row'),
	int32('tokens'),
	int32('days'),
]);

/** The index as an Arrow file. */
export function indexFile({ subjectIds, files, batches, rows, tokens, days }: IndexColumns): Uint8Array {
	const writer = new RecordBatchFileWriter();
	const count = subjectIds.length;
	for (let from = 0; from === 0 || from < count; from += indexBatchRows) {
		const until = Math.min(count, from + indexBatchRows);
		const children = [
			makeData({ type: new Int64(), data: subjectIds.slice(from, until) }),
			...[files, batches, rows, tokens, days].map((column) =>
				makeData({ type: new Int32(), data: column.slice(from, until) }),
			),
		];
		const type = new Struct(indexSchema.fields);
		writer.write(new RecordBatch(indexSchema, makeData({ type, length: until - from, nullCount: 0, children })));
	}
	writer.finish();
	return writer.toUint8Array(true);
}

// A batch is 230 kB; a search in the index of a million patients reads seven.
const cachedBatches = 32;

/** The index of a split on disk: read by range, so that its memory does not grow with the cohort. */
export class StoreIndex {
	readonly size: number;
	readonly #path: string;
	readonly #reader: AsyncRecordBatchFileReader;
	readonly #handle: FileHandle;
	readonly #cache = new LRUCache<number, Promise<RecordBatch>>({ max: cachedBatches });
	/** Reads of one file take turns: a reader has one place. */
	#turn: Promise<unknown> = Promise.resolve();

	private constructor(path: string, handle: FileHandle, reader: AsyncRecordBatchFileReader, size: number) {
		this.#path = path;
		this.#handle = handle;
		this.#reader = reader;
		this.size = size;
	}

	/** @throws {DataError} When it is missing or damaged. */
	static async open(path: string): Promise<StoreIndex> {
		let handle: FileHandle | undefined;
		try {
			handle = await open(path, 'r');
			const made = (await RecordBatchReader.from(handle)) as unknown as AsyncRecordBatchFileReader;
			const reader = (await made.open()) as AsyncRecordBatchFileReader;
			const found = reader.schema.fields.map(({ name }) => name).join();
			const expected = indexSchema.fields.map(({ name }) => name).join();
			if (found !== expected) throw new Error(`columns are ${found}`);
			const batches = reader.numRecordBatches;
			const last = batches === 0 ? 0 : (await reader.readRecordBatch(batches - 1))!.numRows;
			return new StoreIndex(path, handle, reader, Math.max(0, batches - 1) * indexBatchRows + last);
		} catch (cause) {
			await handle?.close();
			throw new DataError(
				'token store',
				{ file: path, rule: 'must be a readable index', value: faultOf(cause), fix: 'run prepare again' },
				{ cause },
			);
		}
	}

	/** @param place - From 0; patients are in the order of their ids. */
	async entry(place: number): Promise<IndexEntry> {
		if (!(place >= 0 && place < this.size))
			throw new RangeError(`[token store] a patient's place must be below ${this.size} but is ${place}`);
		const batch = await this.#batch(Math.floor(place / indexBatchRows));
		return entryOf(batch, place % indexBatchRows);
	}

	/** Place of a subject, or undefined when it is in another split. */
	async find(subjectId: bigint): Promise<number | undefined> {
		let from = 0;
		let until = Math.ceil(this.size / indexBatchRows);
		// The last batch that begins at or before the subject.
		while (until - from > 1) {
			const middle = (from + until) >> 1;
			if (subjectAt(await this.#batch(middle), 0) <= subjectId) from = middle;
			else until = middle;
		}
		if (this.size === 0) return undefined;
		const batch = await this.#batch(from);
		let [low, high] = [0, batch.numRows];
		while (low < high) {
			const middle = (low + high) >> 1;
			if (subjectAt(batch, middle) < subjectId) low = middle + 1;
			else high = middle;
		}
		if (low === batch.numRows || subjectAt(batch, low) !== subjectId) return undefined;
		return from * indexBatchRows + low;
	}

	/** A column of all patients; 28 bytes per patient are read at once. */
	column(name: 'tokens' | 'days'): Int32Array {
		const table = tableFromIPC(readFileSync(this.#path));
		return Int32Array.from(table.getChild(name)!.toArray() as Int32Array);
	}

	async close(): Promise<void> {
		this.#cache.clear();
		await this.#turn.catch(() => undefined);
		await this.#reader.cancel();
		await this.#handle.close().catch(() => undefined);
	}

	#batch(number: number): Promise<RecordBatch> {
		const held = this.#cache.get(number);
		if (held !== undefined) return held;
		const loaded = this.#read(number);
		this.#cache.set(number, loaded);
		// A failure is not kept: the file may be back the next time.
		loaded.catch(() => this.#cache.delete(number));
		return loaded;
	}

	#read(number: number): Promise<RecordBatch> {
		const result = this.#turn.then(async () => {
			const batch = await this.#reader.readRecordBatch(number);
			if (batch === null || (batch.numRows !== indexBatchRows && number + 1 < this.#reader.numRecordBatches))
				throw new DataError('token store', {
					file: this.#path,
					rule: `must hold record batches of ${indexBatchRows} rows`,
					value: `${batch?.numRows ?? 0} in batch ${number}`,
					fix: 'run prepare again',
				});
			return batch;
		});
		this.#turn = result.catch(() => undefined);
		return result;
	}
}

function subjectAt(batch: RecordBatch, row: number): bigint {
	return batch.getChildAt(0)!.get(row) as bigint;
}

function entryOf(batch: RecordBatch, row: number): IndexEntry {
	const value = (column: number) => batch.getChildAt(column)!.get(row) as number;
	return {
		subjectId: subjectAt(batch, row),
		file: value(1),
		batch: value(2),
		row: value(3),
		tokens: value(4),
		days: value(5),
	};
}
