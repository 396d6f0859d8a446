import { z } from 'zod';
import { VocabularyError } from '../errors.js';
import { sha256 } from '../files/hash.js';
import { readJsonAs } from '../files/json.js';
import type { EpochDay } from '../types.js';
import { ageBand, ageTokens, gapTokens } from './time-gaps.js';
import type { TokenVocabulary } from './token-vocabulary.js';

/** `vocabulary.json`: which token a row of the embedding is, and how values become bins. */
export const VocabularyFile = z.strictObject({
	format: z.literal('ehr-jepa/vocabulary'),
	version: z.literal(1),
	/** Data set and ETL it was fitted on: code strings change with the ETL's version. */
	dataset: z.string(),
	etl: z.strictObject({ name: z.string(), version: z.string() }),
	dataFingerprint: z.string(),
	/** Fitted on the train split alone. */
	minPatients: z.int().positive(),
	bins: z.int().min(2),
	/** How cut points were chosen. */
	binRule: z.string(),
	/** Tokens in order of their ids. */
	tokens: z.array(z.string()).min(2),
	/** Ascending float32 cut points of each code with values: bin = number of cuts below or equal to the value. */
	cuts: z.record(z.string(), z.array(z.number())),
	/** Unit of the cut points, where the data name units: a value in another unit is not binned. */
	units: z.record(z.string(), z.string()).default({}),
});
export type VocabularyFile = z.output<typeof VocabularyFile>;

export const unknownToken = '[UNK]';
export const maskToken = '[MASK]';
export const binToken = (bin: number) => `Q//${bin + 1}`;

/** How a code of some data set is written in tokens. */
export type CodeMatch = 'known' | 'backed_off' | 'unknown';

/** A fitted structured vocabulary. */
export class Vocabulary implements TokenVocabulary {
	readonly kind = 'structured';
	readonly file: VocabularyFile;
	/** SHA-256 of tokens and cut points: two vocabularies with the same fingerprint give the same ids. */
	readonly fingerprint: string;
	readonly maskTokenId: number;
	readonly unknownTokenId: number;
	readonly #ids: ReadonlyMap<string, number>;
	readonly #cuts: ReadonlyMap<string, Float32Array>;
	readonly #bins: readonly number[];
	readonly #gaps: readonly number[];
	readonly #ages: readonly number[];

	constructor(input: z.input<typeof VocabularyFile>) {
		const file = { ...input, units: input.units ?? {} };
		this.file = file;
		this.#ids = new Map(file.tokens.map((token, id) => [token, id]));
		if (this.#ids.size !== file.tokens.length)
			throw new VocabularyError('[vocabulary] tokens must be unique but repeat');
		this.#cuts = new Map(Object.entries(file.cuts).map(([code, cuts]) => [code, Float32Array.from(cuts)]));
		const { tokens, cuts, units } = file;
		const read = Object.keys(units).length === 0 ? { tokens, cuts } : { tokens, cuts, units };
		this.fingerprint = sha256(JSON.stringify(read));
		this.maskTokenId = this.#required(maskToken);
		this.unknownTokenId = this.#required(unknownToken);
		this.#bins = Array.from({ length: file.bins }, (_, bin) => this.#required(binToken(bin)));
		this.#gaps = gapTokens.map((token) => this.#required(token));
		this.#ages = ageTokens.map((token) => this.#required(token));
	}

	/** @throws {ConfigError} {VocabularyError} For a file that is no vocabulary. */
	static async read(path: string): Promise<Vocabulary> {
		const about = { scope: 'vocabulary', rule: 'must be a JSON file', error: VocabularyError };
		return new Vocabulary(await readJsonAs(path, VocabularyFile, about));
	}

	get size(): number {
		return this.file.tokens.length;
	}

	/** Token of a code: itself, else its longest known prefix of `//` parts (then of characters of the last part), else [UNK]. */
	codeToken(code: string): { readonly id: number; readonly match: CodeMatch } {
		const own = this.#ids.get(code);
		if (own !== undefined) return { id: own, match: 'known' };
		for (const parent of parents(code)) {
			const id = this.#ids.get(parent);
			if (id !== undefined) return { id, match: 'backed_off' };
		}
		return { id: this.unknownTokenId, match: 'unknown' };
	}

	/** Cut points of a code, or undefined when its values have no bins. */
	cutsOf(code: string): Float32Array | undefined {
		return this.#cuts.get(code);
	}

	/** Tokens of the bins, lowest first. */
	get binTokens(): readonly number[] {
		return this.#bins;
	}

	/** Token of a value, or undefined when the code has no cut points. */
	valueToken(code: string, value: number): number | undefined {
		const cuts = this.#cuts.get(code);
		return cuts === undefined ? undefined : this.#bins[binOf(cuts, Math.fround(value))];
	}

	gapToken(gap: number): number {
		return this.#gaps[gap]!;
	}

	/** Age token of a window, or undefined without a birth. */
	ageToken(birthDay: EpochDay | null, day: EpochDay): number | undefined {
		if (birthDay === null) return undefined;
		return this.#ages[ageBand((day - birthDay) / 365.25)];
	}

	#required(token: string): number {
		const id = this.#ids.get(token);
		if (id === undefined)
			throw new VocabularyError(
				`[vocabulary] tokens must hold ${token} but do not; the file is from another tool or damaged`,
			);
		return id;
	}
}

/** Number of cut points at or below a float32 value. */
export function binOf(cuts: Float32Array, value: number): number {
	let bin = 0;
	while (bin < cuts.length && value >= cuts[bin]!) bin++;
	return bin;
}

/**
 * Less specific forms of a code, longest first: the last part shortened character by character to three (ICD chapters
 * are prefixes), then whole parts dropped. Each ends in `*`, so that a group is never mistaken for a code.
 */
export function parents(code: string): string[] {
	const parts = code.split('//');
	const result: string[] = [];
	const last = parts.at(-1)!;
	const stem = parts.slice(0, -1);
	if (stem.length > 0 && /^[A-Z0-9.]+$/i.test(last)) {
		for (let length = last.length - 1; length >= 3; length--)
			result.push(`${[...stem, last.slice(0, length)].join('//')}*`);
	}
	for (let count = parts.length - 1; count >= 1; count--) result.push(`${parts.slice(0, count).join('//')}//*`);
	return result;
}
