import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { type AsyncRecordBatchFileReader, type RecordBatch, RecordBatchReader } from 'apache-arrow';
import { LRUCache } from 'lru-cache';
import { DataError } from '../errors.js';
import { faultOf } from '../files/faults.js';
import { requirePath } from '../files/path.js';
import { TextVocabulary } from '../tokenizer/text-vocabulary.js';
import { Vocabulary } from '../tokenizer/vocabulary.js';
import type { Split, Timeline } from '../types.js';
import { dataFileName } from './data-file-name.js';
import { readStoreManifest, type StoreManifest } from './manifest.js';
import { type IndexEntry, StoreIndex } from './store-index.js';
import { timelineAt } from './timeline-columns.js';

// What a split keeps in memory: record batches of about half a megabyte, and files that are open.
const cachedBatches = 32;
const openFiles = 16;

interface DataFile {
	readonly handle: FileHandle;
	readonly reader: AsyncRecordBatchFileReader;
	turn: Promise<unknown>;
}

/** One split of a token store: index and timelines are read from disk when asked for. */
export class StoreSplit {
	readonly name: Split;
	readonly #directory: string;
	readonly #index: StoreIndex;
	readonly #batches = new LRUCache<string, Promise<RecordBatch>>({ max: cachedBatches });
	readonly #files = new LRUCache<number, Promise<DataFile>>({
		max: openFiles,
		dispose: (file) => void file.then(closeDataFile, () => undefined),
	});
	#tokenCounts: Int32Array | undefined;
	#dayCounts: Int32Array | undefined;

	private constructor(name: Split, directory: string, index: StoreIndex) {
		this.name = name;
		this.#directory = directory;
		this.#index = index;
	}

	static async open(directory: string, name: Split): Promise<StoreSplit> {
		const index = await StoreIndex.open(join(directory, `${name}.index.arrow`));
		return new StoreSplit(name, join(directory, name), index);
	}

	/** Patients. */
	get size(): number {
		return this.#index.size;
	}

	/** Position of a subject, or undefined when it is in another split. */
	indexOf(subjectId: bigint): Promise<number | undefined> {
		return this.#index.find(subjectId);
	}

	/** Length and place of a patient. @param index - Position in the order of subject ids. */
	entry(index: number): Promise<IndexEntry> {
		return this.#index.entry(index);
	}

	/** (patients,) tokens of each patient's timeline; read when first asked for, four bytes per patient. */
	get tokenCounts(): Int32Array {
		this.#tokenCounts ??= this.#index.column('tokens');
		return this.#tokenCounts;
	}

	/** (patients,) days of each patient; read when first asked for, four bytes per patient. */
	get dayCounts(): Int32Array {
		this.#dayCounts ??= this.#index.column('days');
		return this.#dayCounts;
	}

	/** @param index - Position in the order of subject ids. */
	async timeline(index: number): Promise<Timeline> {
		const { subjectId, file, batch, row } = await this.#index.entry(index);
		const timeline = timelineAt(await this.#batch(file, batch), row);
		if (timeline.subjectId !== subjectId) {
			throw new DataError('token store', {
				file: join(this.#directory, dataFileName(file)),
				column: 'subject_id',
				rule: `must be ${subjectId} in row ${row} of record batch ${batch}, as the index says,`,
				value: String(timeline.subjectId),
				fix: 'run prepare again',
			});
		}
		return timeline;
	}

	#batch(file: number, number: number): Promise<RecordBatch> {
		const key = `${file} ${number}`;
		const held = this.#batches.get(key);
		if (held !== undefined) return held;
		const loaded = this.#load(file, number);
		this.#batches.set(key, loaded);
		// A failure is not kept: the file may be back the next time.
		loaded.catch(() => this.#batches.delete(key));
		return loaded;
	}

	async #load(file: number, number: number): Promise<RecordBatch> {
		const path = join(this.#directory, dataFileName(file));
		try {
			const data = await this.#file(file);
			// Reads of one file take turns: a reader has one place.
			const read = data.turn.then(() => data.reader.readRecordBatch(number));
			data.turn = read.catch(() => undefined);
			const batch = await read;
			if (batch === null) throw new Error(`there is no record batch ${number}`);
			return batch;
		} catch (cause) {
			throw new DataError(
				'token store',
				{ file: path, rule: 'must be readable', value: faultOf(cause), fix: 'run prepare again' },
				{ cause },
			);
		}
	}

	#file(number: number): Promise<DataFile> {
		const held = this.#files.get(number);
		if (held !== undefined) return held;
		const opened = openDataFile(join(this.#directory, dataFileName(number)));
		this.#files.set(number, opened);
		opened.catch(() => this.#files.delete(number));
		return opened;
	}

	async close(): Promise<void> {
		this.#batches.clear();
		const files = [...this.#files.values()];
		this.#files.clear();
		for (const file of files) await file.then(closeDataFile, () => undefined);
		await this.#index.close();
	}
}

async function openDataFile(path: string): Promise<DataFile> {
	const handle = await open(path, 'r');
	try {
		const made = (await RecordBatchReader.from(handle)) as unknown as AsyncRecordBatchFileReader;
		return { handle, reader: (await made.open()) as AsyncRecordBatchFileReader, turn: Promise.resolve() };
	} catch (cause) {
		await handle.close();
		throw cause;
	}
}

async function closeDataFile(file: DataFile): Promise<void> {
	// Whoever was given the file before it was taken out of the list may read once more.
	let seen: unknown;
	while (seen !== file.turn) {
		seen = file.turn;
		await seen;
		await setImmediate();
	}
	await file.handle.close().catch(() => undefined);
}

/** A token store on disk: what training, embedding and evaluation read. */
export interface TokenStore {
	readonly directory: string;
	readonly manifest: StoreManifest;
	readonly vocabulary: Vocabulary | TextVocabulary;
	/** Folder with the tokenizer's files; undefined for structured tokens. */
	readonly tokenizer: string | undefined;
	split(name: Split): StoreSplit;
	close(): Promise<void>;
	[Symbol.asyncDispose](): Promise<void>;
}

/**
 * Opens a token store written by `prepareStore`.
 *
 * @throws {DataError} When files are missing or damaged; {VocabularyError} when the vocabulary is not the one it was written with.
 */
export async function openTokenStore(directory: string): Promise<TokenStore> {
	requirePath('token store', 'directory', directory);
	const manifest = await readStoreManifest(directory);
	const path = join(directory, 'vocabulary.json');
	const isText = manifest.vocabulary.kind === 'text';
	const vocabulary = isText ? await TextVocabulary.read(path) : await Vocabulary.read(path);
	if (vocabulary.fingerprint !== manifest.vocabulary.fingerprint) {
		throw new DataError('token store', {
			file: path,
			rule: `must be the vocabulary the store was written with (${manifest.vocabulary.fingerprint.slice(0, 12)})`,
			value: vocabulary.fingerprint.slice(0, 12),
			fix: 'run prepare again',
		});
	}
	const opened: Record<Split, StoreSplit> = {
		train: await StoreSplit.open(directory, 'train'),
		tuning: await StoreSplit.open(directory, 'tuning'),
		held_out: await StoreSplit.open(directory, 'held_out'),
	};
	const close = async () => {
		for (const split of Object.values(opened)) await split.close();
	};
	return {
		directory,
		manifest,
		vocabulary,
		tokenizer: isText ? join(directory, 'tokenizer') : undefined,
		split: (name) => opened[name],
		close,
		[Symbol.asyncDispose]: close,
	};
}
