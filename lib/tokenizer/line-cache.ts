import type { IdBuffer } from './id-buffer.js';

/** What a Map entry and a string header cost, roughly. */
const entryBytes = 80;

/** Lines with their ids end to end: the value of a line is where its count stands, the ids follow. */
class Generation {
	readonly places = new Map<string, number>();
	ids = new Int32Array(4096);
	used = 0;
	bytes = 0;

	add(line: string, ids: ArrayLike<number>, bytes: number): void {
		const needed = this.used + 1 + ids.length;
		if (needed > this.ids.length) {
			const larger = new Int32Array(Math.max(needed, 2 * this.ids.length));
			larger.set(this.ids);
			this.ids = larger;
		}
		this.places.set(line, this.used);
		this.ids[this.used++] = ids.length;
		for (let i = 0; i < ids.length; i++) this.ids[this.used++] = ids[i]!;
		this.bytes += bytes;
	}
}

/**
 * Ids of lines (or of pieces of lines) that were met before: clinical text repeats. Bounded: when the young generation
 * has grown to half of `maxBytes`, the old one is forgotten and it takes its place, so that what was met lately stays
 * and a hit costs one look-up.
 */
export class LineCache {
	readonly #maxBytes: number;
	#young = new Generation();
	#old = new Generation();

	/** @param maxBytes - Of both generations, by a rule of thumb for the costs of strings and maps. */
	constructor(maxBytes: number) {
		this.#maxBytes = maxBytes;
	}

	/** By the rule that bounds them. */
	get bytes(): number {
		return this.#young.bytes + this.#old.bytes;
	}

	/** Appends the ids of a line to `target`; false when the line is not known. */
	copyTo(target: IdBuffer, line: string): boolean {
		const { places, ids } = this.#young;
		const place = places.get(line);
		if (place !== undefined) {
			target.append(ids, place + 1, place + 1 + ids[place]!);
			return true;
		}
		const old = this.#old;
		const oldPlace = old.places.get(line);
		if (oldPlace === undefined) return false;
		const from = target.length;
		target.append(old.ids, oldPlace + 1, oldPlace + 1 + old.ids[oldPlace]!);
		this.put(line, target.since(from));
		return true;
	}

	/** Keeps the ids of a line that is not known. */
	put(line: string, ids: ArrayLike<number>): void {
		const bytes = entryBytes + 2 * line.length + 4 * (ids.length + 1);
		// One that would push out much of the rest is not worth its place.
		if (bytes > this.#maxBytes / 64) return;
		if (this.#young.bytes + bytes > this.#maxBytes / 2) {
			this.#old = this.#young;
			this.#young = new Generation();
		}
		this.#young.add(unshared(line), ids, bytes);
	}
}

/** A copy: V8 keeps the whole text in memory for as long as a slice of it lives. */
function unshared(text: string): string {
	return Buffer.from(text, 'utf16le').toString('utf16le');
}
