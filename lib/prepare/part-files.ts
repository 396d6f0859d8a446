import { createWriteStream } from 'node:fs';
import { mkdir, open, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { RecordBatchFileWriter } from 'apache-arrow';
import { dataFileName } from '../store/data-file-name.js';
import { GrowingInt32 } from '../store/growing-array.js';
import { TimelineColumns } from '../store/timeline-columns.js';
import { type Split, splits } from '../types.js';
import type { StructuredPartCounts } from './structured-builder.js';
import type { TextPartCounts } from './text-builder.js';

/** Tokens of one record batch: what is read from disk to see one patient. */
const tokensPerBatch = 65_536;

/** Int32 words of a patient in the index of a part. */
export const indexWords = 7;

/** What is known of a part that is whole, besides its files. */
export interface PartSummary {
	/** Events of subjects who are in no split, and how many these are. */
	readonly outsideEvents: number;
	readonly outsideSubjects: number;
	/** Events by split. */
	readonly events: Readonly<Record<Split, number>>;
	readonly counts: StructuredPartCounts | TextPartCounts;
}

/** Writes the patients of a part: one Arrow file per split that has any, then an index, then the summary that makes it whole. */
export class PartWriter {
	readonly #folder: string;
	readonly #number: number;
	readonly #files = new Map<number, SplitFile>();
	readonly #index = new GrowingInt32();

	constructor(folder: string, number: number) {
		this.#folder = folder;
		this.#number = number;
	}

	/** Columns of the patients of a split. */
	columns(place: number): TimelineColumns {
		return this.#file(place).columns;
	}

	/** To be called after a patient was ended in the columns of a split. */
	patientEnded(place: number, subjectLow: number, subjectHigh: number, tokens: number, days: number): void {
		const file = this.#file(place);
		this.#index.pushAll([place, subjectLow, subjectHigh, file.batches, file.columns.patients - 1, tokens, days]);
		if (file.columns.size >= tokensPerBatch) file.flush();
	}

	async finish(summary: PartSummary): Promise<void> {
		for (const file of this.#files.values()) await file.finish();
		const base = join(this.#folder, 'parts', String(this.#number));
		await writeFile(`${base}.index`, new Uint8Array(this.#index.int32s().buffer));
		await writeFile(`${base}.json.tmp`, JSON.stringify(summary));
		await rename(`${base}.json.tmp`, `${base}.json`);
	}

	/** Closes the files of a part that failed. */
	async abandon(): Promise<void> {
		for (const file of this.#files.values()) await file.abandon();
	}

	#file(place: number): SplitFile {
		let file = this.#files.get(place);
		if (file === undefined) {
			file = new SplitFile(join(this.#folder, splits[place]!, dataFileName(this.#number)));
			this.#files.set(place, file);
		}
		return file;
	}
}

class SplitFile {
	readonly columns = new TimelineColumns();
	batches = 0;
	readonly #path: string;
	readonly #writer = new RecordBatchFileWriter();
	readonly #written: Promise<void>;

	constructor(path: string) {
		this.#path = path;
		this.#written = pipeline(this.#writer.toNodeStream(), createWriteStream(`${path}.tmp`));
		this.#written.catch(() => {}); // surfaces where it is awaited
	}

	flush(): void {
		this.#writer.write(this.columns.take());
		this.batches++;
	}

	async finish(): Promise<void> {
		if (this.columns.patients > 0) this.flush();
		this.#writer.finish();
		await this.#written;
		const file = await open(`${this.#path}.tmp`, 'r');
		try {
			await file.sync();
		} finally {
			await file.close();
		}
		await rename(`${this.#path}.tmp`, this.#path);
	}

	async abandon(): Promise<void> {
		this.#writer.finish();
		await this.#written.catch(() => {});
		await rm(`${this.#path}.tmp`, { force: true }).catch(() => {});
	}
}

/** Makes the folders that parts are written to. */
export async function makePartFolders(folder: string): Promise<void> {
	for (const name of ['parts', ...splits]) await mkdir(join(folder, name), { recursive: true });
}

/** Summary and index of a part, or undefined when it is not whole. */
export async function readPartSummary(
	folder: string,
	number: number,
): Promise<{ readonly summary: PartSummary; readonly index: Int32Array } | undefined> {
	const base = join(folder, 'parts', String(number));
	try {
		const summary = JSON.parse(await readFile(`${base}.json`, 'utf8')) as PartSummary;
		const bytes = await readFile(`${base}.index`);
		return { summary, index: new Int32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length)) };
	} catch {
		return undefined;
	}
}
