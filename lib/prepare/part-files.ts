import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { WholeArrowFile } from '../files/arrow-file.js';
import { readJson } from '../files/json.js';
import { writeWhole } from '../files/whole.js';
import { dataFileName } from '../store/data-file-name.js';
import { GrowingInt32 } from '../store/growing-array.js';
import { TimelineColumns } from '../store/timeline-columns.js';
import { type Split, splits } from '../types.js';
import type { BirthCounts } from './birth-day.js';
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
	readonly births: BirthCounts;
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
		await writeWhole(`${base}.index`, new Uint8Array(this.#index.int32s().buffer));
		await writeWhole(`${base}.json`, JSON.stringify(summary));
	}

	/** Closes the files of a part that has failed. */
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
	readonly #file: WholeArrowFile;

	constructor(path: string) {
		this.#file = new WholeArrowFile(path);
	}

	flush(): void {
		// A failure surfaces where the file is finished.
		this.#file.write(this.columns.take()).catch(() => undefined);
		this.batches++;
	}

	async finish(): Promise<void> {
		if (this.columns.patients > 0) this.flush();
		await this.#file.finish();
	}

	async abandon(): Promise<void> {
		await this.#file.abandon();
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
		const summary = (await readJson(`${base}.json`, { scope: 'prepare' })) as PartSummary;
		const bytes = await readFile(`${base}.index`);
		return { summary, index: new Int32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length)) };
	} catch {
		return undefined;
	}
}
