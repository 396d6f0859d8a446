import type { Vocabulary } from '../../tokenizer/vocabulary.js';

/** A value in a window, with what the same window holds of its code before it. */
export interface ValueToken {
	/** Place of the value in the window. */
	readonly at: number;
	/** Token of the code that it is a value of. */
	readonly code: number;
	/** From 0, the lowest. */
	readonly bin: number;
	/** Bins of the earlier values of that code, oldest first; valid until the next value is read. */
	readonly earlier: readonly number[];
}

/** Reads the values out of windows of structured tokens. */
export class ValueReader {
	/** Bins of a value. */
	readonly bins: number;
	readonly #binOf = new Map<number, number>();

	constructor(vocabulary: Vocabulary) {
		this.bins = vocabulary.binTokens.length;
		for (const [bin, token] of vocabulary.binTokens.entries()) this.#binOf.set(token, bin);
	}

	/** Values of one window in order. A value that begins it has lost its code and is left out. */
	*read(tokens: Int32Array): Generator<ValueToken> {
		const earlierOf = new Map<number, number[]>();
		for (let at = 1; at < tokens.length; at++) {
			const bin = this.#binOf.get(tokens[at]!);
			if (bin === undefined) continue;
			const code = tokens[at - 1]!;
			let earlier = earlierOf.get(code);
			if (earlier === undefined) {
				earlier = [];
				earlierOf.set(code, earlier);
			}
			yield { at, code, bin, earlier };
			earlier.push(bin);
		}
	}
}
