import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
	type AsyncRecordBatchFileReader,
	type RecordBatch,
	RecordBatchReader,
	type Table,
	tableFromIPC,
} from 'apache-arrow';
import { parseConfig } from '../config.js';
import { DataError } from '../errors.js';
import { Vocabulary } from '../tokenizer/vocabulary.js';
import type { Split, Timeline } from '../types.js';
import { StoreManifest } from './manifest.js';
import { timelineAt } from './timeline-arrow.js';

// Record batches kept in memory per split; a batch is about a million tokens.
const cachedBatches = 4;

/** One split of a token store: small index arrays in memory, timelines read from disk when asked for. */
export class StoreSplit {
	readonly name: Split;
	/** (patients,) ascending. */
	readonly subjectIds: BigInt64Array;
	/** (patients,) tokens and days of each patient. */
	readonly tokenCounts: Int32Array;
	readonly dayCounts: Int32Array;
	readonly #path: string;
	readonly #batchOf: Int32Array;
	readonly #rowOf: Int32Array;
	readonly #indexOf: Map<bigint, number>;
	readonly #cache = new Map<number, Promise<RecordBatch>>();
	#reader: Promise<AsyncRecordBatchFileReader> | undefined;

	private constructor(name: Split, path: string, index: Table) {
		const int32s = (column: string) => Int32Array.from(index.getChild(column)!.toArray() as Int32Array);
		this.name = name;
		this.#path = path;
		this.subjectIds = BigInt64Array.from(index.getChild('subject_id')!.toArray() as BigInt64Array);
		this.tokenCounts = int32s('tokens');
		this.dayCounts = int32s('days');
		this.#batchOf = int32s('batch');
		this.#rowOf = int32s('row');
		this.#indexOf = new Map(Array.from(this.subjectIds, (id, i) => [id, i]));
	}

	static async open(directory: string, name: Split): Promise<StoreSplit> {
		const file = join(directory, `${name}.index.arrow`);
		try {
			return new StoreSplit(name, join(directory, `${name}.arrow`), tableFromIPC(await readFile(file)));
		} catch (cause) {
			throw new DataError(
				'token store',
				{ file, rule: 'must be readable', value: (cause as Error).message, fix: 'run prepare again' },
				{ cause },
			);
		}
	}

	get size(): number {
		return this.subjectIds.length;
	}

	/** Position of a subject, or undefined when it is in another split. */
	indexOf(subjectId: bigint): number | undefined {
		return this.#indexOf.get(subjectId);
	}

	/** @param index - Position in {@link StoreSplit.subjectIds}. */
	async timeline(index: number): Promise<Timeline> {
		const batch = await this.#batch(this.#batchOf[index]!);
		return timelineAt(batch, this.#rowOf[index]!);
	}

	#batch(number: number): Promise<RecordBatch> {
		const held = this.#cache.get(number);
		if (held !== undefined) {
			this.#cache.delete(number);
			this.#cache.set(number, held);
			return held;
		}
		const loaded = this.#load(number);
		this.#cache.set(number, loaded);
		if (this.#cache.size > cachedBatches) this.#cache.delete(this.#cache.keys().next().value!);
		return loaded;
	}

	async #load(number: number): Promise<RecordBatch> {
		this.#reader ??= openReader(this.#path);
		const batch = await (await this.#reader).readRecordBatch(number);
		if (batch === null)
			throw new DataError('token store', {
				file: this.#path,
				rule: `must hold record batch ${number}`,
				fix: 'run prepare again',
			});
		return batch;
	}

	async close(): Promise<void> {
		this.#cache.clear();
		if (this.#reader !== undefined) await (await this.#reader).cancel();
		this.#reader = undefined;
	}
}

async function openReader(path: string): Promise<AsyncRecordBatchFileReader> {
	const handle = await open(path, 'r');
	const reader = (await RecordBatchReader.from(handle)) as unknown as AsyncRecordBatchFileReader;
	return (await reader.open()) as AsyncRecordBatchFileReader;
}

/** A token store on disk: what training, embedding and evaluation read. */
export interface TokenStore {
	readonly directory: string;
	readonly manifest: StoreManifest;
	readonly vocabulary: Vocabulary;
	split(name: Split): StoreSplit;
	close(): Promise<void>;
}

/**
 * Opens a token store written by `prepareStore`.
 *
 * @throws {DataError} When files are missing or damaged; {VocabularyError} when the vocabulary is not the one it was written with.
 */
export async function openTokenStore(directory: string): Promise<TokenStore> {
	const file = join(directory, 'manifest.json');
	let json: unknown;
	try {
		json = JSON.parse(await readFile(file, 'utf8'));
	} catch (cause) {
		throw new DataError(
			'token store',
			{
				file,
				rule: 'must be the manifest of a token store',
				value: (cause as Error).message,
				fix: 'give the folder that prepare wrote',
			},
			{ cause },
		);
	}
	const manifest = parseConfig(`token store ${file}`, StoreManifest, json);
	const vocabulary = await Vocabulary.read(join(directory, 'vocabulary.json'));
	if (vocabulary.fingerprint !== manifest.vocabulary.fingerprint) {
		throw new DataError('token store', {
			file: join(directory, 'vocabulary.json'),
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
	return {
		directory,
		manifest,
		vocabulary,
		split: (name) => opened[name],
		close: async () => {
			for (const split of Object.values(opened)) await split.close();
		},
	};
}
