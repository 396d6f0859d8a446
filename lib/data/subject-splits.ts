import { type Split, splits } from '../types.js';
import { int32Items, int64Words } from './column-items.js';
import { type Database, quoted } from './query.js';
import { loadSplits, type SplitFiles } from './read-splits.js';
import { hashedSplit, type SplitSource } from './splits.js';

/** What threads are given: nine bytes for each subject in memory that all of them read, or that a hash decides. */
export type SharedSplits =
	| {
			readonly source: Exclude<SplitSource, 'hash'>;
			readonly words: SharedArrayBuffer;
			readonly places: SharedArrayBuffer;
	  }
	| { readonly source: 'hash' };

/** Split of each subject. */
export class SubjectSplits {
	readonly shared: SharedSplits;
	readonly #words: Int32Array<ArrayBufferLike>;
	readonly #places: Uint8Array<ArrayBufferLike>;

	constructor(shared: SharedSplits) {
		this.shared = shared;
		this.#words = shared.source === 'hash' ? new Int32Array(0) : new Int32Array(shared.words);
		this.#places = shared.source === 'hash' ? new Uint8Array(0) : new Uint8Array(shared.places);
	}

	/**
	 * Reads the splits of a data set as {@link loadSplits} decides them. Subjects of a split with another name are in none.
	 *
	 * @param notes - Receives what was accepted.
	 * @throws {DataError} As {@link loadSplits}.
	 */
	static async read(database: Database, dataset: SplitFiles, notes: string[]): Promise<SubjectSplits> {
		const source = await loadSplits(database, dataset, notes);
		if (source === 'hash') return new SubjectSplits({ source });
		const known = splits.map(quoted).join(', ');
		const [row] = await database.rows(`SELECT count(*)::INTEGER AS n FROM split_file WHERE split IN (${known})`);
		const count = Number(row?.n ?? 0);
		const shared = {
			source,
			words: new SharedArrayBuffer(8 * count),
			places: new SharedArrayBuffer(count),
		} as const;
		const [words, places] = [new Int32Array(shared.words), new Uint8Array(shared.places)];
		const order = splits.map((split, i) => `WHEN ${quoted(split)} THEN ${i}`).join(' ');
		let at = 0;
		for await (const chunk of database.stream(
			`SELECT subject_id, (CASE split ${order} END)::INTEGER FROM split_file WHERE split IN (${known}) ORDER BY 1`,
		)) {
			words.set(int64Words(chunk, 0), 2 * at);
			places.set(int32Items(chunk, 1), at);
			at += chunk.rowCount;
		}
		return new SubjectSplits(shared);
	}

	/** Subjects that the table names; undefined when a hash decides. */
	get named(): number | undefined {
		return this.shared.source === 'hash' ? undefined : this.#places.length;
	}

	/** Place in {@link splits} of a subject, given as words of its id; -1 when it is in none. */
	placeOf(low: number, high: number): number {
		if (this.shared.source === 'hash') return splits.indexOf(hashedSplit(int64(low, high)));
		let from = 0;
		let until = this.#places.length;
		while (from < until) {
			const middle = (from + until) >> 1;
			const h = this.#words[2 * middle + 1]!;
			const less = h < high || (h === high && this.#words[2 * middle]! >>> 0 < low >>> 0);
			if (less) from = middle + 1;
			else until = middle;
		}
		const found = from < this.#places.length && this.#words[2 * from] === low && this.#words[2 * from + 1] === high;
		return found ? this.#places[from]! : -1;
	}

	/** Whether any subject may be in a split. */
	mayHold(split: Split): boolean {
		return this.shared.source === 'hash' || this.#places.includes(splits.indexOf(split));
	}
}

/** Number of two 32-bit words, low word first. */
export function int64(low: number, high: number): bigint {
	return (BigInt(high) << 32n) | BigInt(low >>> 0);
}
