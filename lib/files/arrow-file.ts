import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { AsyncByteQueue, type RecordBatch, RecordBatchFileWriter, type Schema } from 'apache-arrow';
import { temporaryBeside } from './names.js';
import { outputError } from './write-errors.js';

/** What the writer gives out, until it is taken. */
class Bytes extends AsyncByteQueue {
	#chunks: Uint8Array[] = [];

	override write(value: ArrayBufferLike | ArrayBufferView): void {
		const view = ArrayBuffer.isView(value)
			? new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
			: new Uint8Array(value);
		this.#chunks.push(view);
	}

	take(): Uint8Array[] {
		const chunks = this.#chunks;
		this.#chunks = [];
		return chunks;
	}
}

/**
 * An Arrow IPC file that appears whole or not at all, written batch by batch. Whoever makes one ends it with
 * {@link WholeArrowFile.finish} or {@link WholeArrowFile.abandon}.
 */
export class WholeArrowFile {
	readonly #path: string;
	readonly #temporary: string;
	readonly #bytes = new Bytes();
	readonly #writer = new RecordBatchFileWriter();
	readonly #handle: Promise<FileHandle>;
	/** Writes run one after another; the first failure stays. */
	#written: Promise<void> = Promise.resolve();

	/** @param schema - For a file that may end without a batch. */
	constructor(path: string, schema?: Schema) {
		this.#path = path;
		this.#temporary = temporaryBeside(path);
		this.#writer.reset(this.#bytes, schema);
		this.#handle = open(this.#temporary, 'w');
		this.#handle.catch(() => undefined); // reported where it is awaited
	}

	/** Resolves when the batch was handed to the system. @throws {OutputError} */
	async write(batch: RecordBatch): Promise<void> {
		this.#writer.write(batch);
		return this.#drain();
	}

	/** Gives the file its name. @throws {OutputError} Nothing is left of it. */
	async finish(): Promise<void> {
		try {
			this.#writer.finish();
			await this.#drain();
			const handle = await this.#handle;
			await handle.sync();
			await handle.close();
			await rename(this.#temporary, this.#path);
		} catch (cause) {
			await this.abandon();
			throw outputError(this.#path, cause);
		}
	}

	/** Removes what was written. */
	async abandon(): Promise<void> {
		await this.#written.catch(() => undefined);
		await this.#handle.then((handle) => handle.close()).catch(() => undefined);
		await rm(this.#temporary, { force: true }).catch(() => undefined);
	}

	#drain(): Promise<void> {
		const chunks = this.#bytes.take();
		this.#written = this.#written.then(async () => {
			const handle = await this.#handle;
			for (const chunk of chunks) await handle.writeFile(chunk);
		});
		// A caller that does not wait for a batch learns of its failure at the end.
		this.#written.catch(() => undefined);
		return this.#written.catch((cause) => {
			throw outputError(this.#path, cause);
		});
	}
}
