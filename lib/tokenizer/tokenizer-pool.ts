import { once, setMaxListeners } from 'node:events';
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { parseConfig, positiveInteger } from '../config.js';
import { AbortedError } from '../errors.js';
import type { LongOperation } from '../types.js';
import type { QwenTokenizer } from './qwen-tokenizer.js';
import type { TokenizerFileName } from './tokenizer-files.js';

/** Characters handed to a thread at a time: some tens of milliseconds of work. */
const maxBatchCharacters = 2 ** 18;

/** What a thread is started with: the tokenizer's files, in memory that all threads read. */
export interface TokenizerWorkerData {
	readonly directory: string;
	readonly contents: readonly (readonly [TokenizerFileName, SharedArrayBuffer])[];
}

/** Ids of the texts of a batch, end to end. */
export interface EncodedBatch {
	readonly ids: Int32Array;
	/** (texts,) ids of each. */
	readonly lengths: Int32Array;
}

export interface EncodeAllOptions extends LongOperation {
	/** Absent: as many as the machine runs at once. Each holds a tokenizer of its own (about 200 MB) and is ready after half a second. */
	readonly threads?: number | undefined;
}

/**
 * Threads that encode texts and leave the event loop free. They start with the first texts, keep their caches between
 * calls, and end with {@link TokenizerPool.close}; a pool that waits does not keep the process alive.
 */
export class TokenizerPool {
	readonly #tokenizer: QwenTokenizer;
	readonly #threads: number;
	#workers: Worker[] = [];
	#workerData: TokenizerWorkerData | undefined;
	#turn: Promise<unknown> = Promise.resolve();
	/** Of the call that runs; shared by its threads: the caller's signal, the first failure or `close` ends the wait of each. */
	#stop = new AbortController();

	/** @throws {ConfigError} When `threads` is not a positive integer. */
	constructor(tokenizer: QwenTokenizer, threads: number = availableParallelism()) {
		this.#tokenizer = tokenizer;
		this.#threads = parseConfig('tokenizer threads', positiveInteger, threads);
	}

	/**
	 * Ids of each text, in the order of the texts; the same as {@link QwenTokenizer.encode}, whatever the number of threads.
	 * Calls of one pool run one after another.
	 *
	 * @throws {AbortedError} When the signal fires; the threads are ended in the midst of their work and the next call
	 *   starts new ones.
	 */
	encodeAll(texts: readonly string[], operation: LongOperation = {}): Promise<Int32Array[]> {
		const result = this.#turn.then(() => this.#encodeAll(texts, operation));
		this.#turn = result.catch(() => undefined);
		return result;
	}

	/** Ends the threads; a call that runs is rejected with an `AbortedError`. */
	async close(): Promise<void> {
		this.#stop.abort();
		const workers = this.#workers;
		this.#workers = [];
		await Promise.all(workers.map((worker) => worker.terminate()));
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.close();
	}

	async #encodeAll(texts: readonly string[], { signal, onProgress }: LongOperation): Promise<Int32Array[]> {
		const stop = new AbortController();
		this.#stop = stop;
		setMaxListeners(0, stop.signal);
		const abort = () => stop.abort();
		signal?.addEventListener('abort', abort);
		try {
			signal?.throwIfAborted();
			const batches = batchesOf(texts, this.#threads);
			const workers = this.#started(Math.min(this.#threads, batches.length));
			const result = new Array<Int32Array>(texts.length);
			let next = 0;
			let done = 0;
			const serve = async (worker: Worker) => {
				worker.ref();
				while (next < batches.length) {
					const [from, until] = batches[next++]!;
					worker.postMessage(texts.slice(from, until));
					const [{ ids, lengths }] = (await once(worker, 'message', { signal: stop.signal })) as [EncodedBatch];
					let place = 0;
					for (let i = from; i < until; i++) {
						const end = place + lengths[i - from]!;
						result[i] = ids.slice(place, end);
						place = end;
					}
					done += until - from;
					onProgress?.({ stage: 'tokenise', done, total: texts.length, unit: 'texts' });
				}
				worker.unref();
			};
			await Promise.all(workers.map(serve));
			return result;
		} catch (cause) {
			const aborted = signal?.aborted || stop.signal.aborted;
			await this.close();
			if (aborted) throw new AbortedError('[tokenizer] aborted', { cause: signal?.reason ?? 'the pool was closed' });
			throw cause;
		} finally {
			signal?.removeEventListener('abort', abort);
		}
	}

	#started(count: number): readonly Worker[] {
		while (this.#workers.length < count) {
			this.#workerData ??= {
				directory: this.#tokenizer.files.directory,
				contents: sharedContents(this.#tokenizer),
			};
			this.#workers.push(
				new Worker(new URL('./tokenizer-worker.js', import.meta.url), { workerData: this.#workerData }),
			);
		}
		return this.#workers.slice(0, count);
	}
}

/**
 * Ids of each text by threads that end with the call; whoever calls often keeps a {@link TokenizerPool}.
 *
 * @throws {ConfigError} {AbortedError}
 */
export async function encodeAll(
	tokenizer: QwenTokenizer,
	texts: readonly string[],
	{ threads, ...operation }: EncodeAllOptions = {},
): Promise<Int32Array[]> {
	const pool = new TokenizerPool(tokenizer, threads);
	try {
		return await pool.encodeAll(texts, operation);
	} finally {
		await pool.close();
	}
}

/** Ranges [from, until) of texts: small enough that threads end at about the same time. */
function batchesOf(texts: readonly string[], threads: number): (readonly [number, number])[] {
	const characters = texts.reduce((sum, text) => sum + text.length, 0);
	const limit = Math.min(maxBatchCharacters, characters / (4 * threads));
	const batches: (readonly [number, number])[] = [];
	let from = 0;
	let size = 0;
	for (let i = 0; i < texts.length; i++) {
		size += texts[i]!.length;
		if (size >= limit || i + 1 === texts.length) {
			batches.push([from, i + 1]);
			from = i + 1;
			size = 0;
		}
	}
	return batches;
}

/** Files of a tokenizer in memory that all threads read. */
export function sharedContents({ files }: QwenTokenizer): TokenizerWorkerData['contents'] {
	return [...files.contents].map(([name, content]) => {
		const memory = new SharedArrayBuffer(content.length);
		new Uint8Array(memory).set(content);
		return [name, memory] as const;
	});
}
