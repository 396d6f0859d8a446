import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { z } from 'zod';
import { VocabularyError } from '../errors.js';
import {
	type HuggingFaceTokenizer,
	huggingFaceTokenizer,
	type PieceSplitter,
	pieceSplitter,
} from './huggingface-tokenizers.js';
import { IdBuffer } from './id-buffer.js';
import { LineCache } from './line-cache.js';
import { mayCut, nextCut, qwenPattern } from './line-cuts.js';
import { configuredTokens, tokenizerJsonFromSlowFiles } from './slow-files.js';
import {
	readTokenizerFiles,
	type TokenizerFileName,
	type TokenizerFiles,
	tokenizerJson,
	writeTokenizerFiles,
} from './tokenizer-files.js';
import { type AddedToken, checkTokens, parseTokenizerJson, type TokenizerJson } from './tokenizer-json.js';

/** What a special token that is written in a text becomes. */
export const SpecialTokens = z.enum(['text', 'ids']);
export type SpecialTokens = z.infer<typeof SpecialTokens>;

const lineCacheBytes = 64 * 2 ** 20;
const pieceCacheBytes = 16 * 2 ** 20;

/**
 * Qwen's byte-level BPE from the files of a model's own folder. No BOS or EOS is added: the last token of a text is the
 * last token of its words. Text is normalised to NFC.
 */
export class QwenTokenizer {
	/** The files it was made of. */
	readonly files: TokenizerFiles;
	/**
	 * Fingerprint: tokenizers with the same one give the same ids. The SHA-256 of `tokenizer.json`; of the slow files, that
	 * of `vocab.json`, `merges.txt` and the list of added tokens.
	 */
	readonly sha256: string;
	/** One more than the highest id. The embedding of a model may have more rows (Qwen3: 151,669 ids, 151,936 rows). */
	readonly vocabularySize: number;
	/** Special tokens such as `<|endoftext|>` with their ids. In a text each is one token, as every added token is. */
	readonly specialTokens: ReadonlyMap<string, number>;
	readonly #tokenizer: HuggingFaceTokenizer;
	/** Finds added tokens in a line; undefined when there is none. */
	readonly #added: RegExp | undefined;
	/** Finds special tokens in a text; undefined when there is none. */
	readonly #special: RegExp | undefined;
	/** Knows no special tokens; made with the first text that holds one and is to be read as text. */
	#withoutSpecial: HuggingFaceTokenizer | undefined;
	/** Undefined where text must not be cut. */
	readonly #splitter: PieceSplitter | undefined;
	readonly #lines = new LineCache(lineCacheBytes);
	readonly #pieces = new LineCache(pieceCacheBytes);
	readonly #ids = new IdBuffer();

	/**
	 * As {@link QwenTokenizer.fromPretrained}, of files that were read.
	 *
	 * @param options - `checked`: another thread has made one of the same files.
	 */
	constructor(files: TokenizerFiles, { checked = false }: { readonly checked?: boolean } = {}) {
		const { json, path, fast } = parsed(files);
		if (!checked) checkTokens(json, path);
		const { added_tokens: added, model } = json;
		if (fast) requireSameAddedTokens(files, added);
		this.files = files;
		this.sha256 = fingerprint(files, added);
		let highest = 0;
		for (const id of Object.values(model.vocab)) highest = Math.max(highest, id);
		for (const { id } of added) highest = Math.max(highest, id);
		this.vocabularySize = highest + 1;
		this.specialTokens = new Map(added.filter(({ special }) => special).map(({ content, id }) => [content, id]));
		this.#tokenizer = huggingFaceTokenizer(json);
		this.#added = anyOf(added.map(({ content }) => content));
		this.#special = anyOf([...this.specialTokens.keys()], 'g');
		this.#splitter = mayCut(json) ? pieceSplitter(qwenPattern) : undefined;
	}

	/**
	 * Opens the tokenizer of a model.
	 *
	 * @param directory - Folder with `tokenizer.json`, or with `vocab.json`, `merges.txt` and `added_tokens.json`; the first
	 *   when both are there. `tokenizer_config.json` beside it is read where it names added tokens.
	 * @throws {VocabularyError} For a file that is missing or broken, and for a tokenizer that is no byte-level BPE.
	 */
	static async fromPretrained(directory: string): Promise<QwenTokenizer> {
		return new QwenTokenizer(await readTokenizerFiles(directory));
	}

	/** Whether ids of a text are those of its lines, cut where `nextCut` allows it, end to end. */
	get cutsLines(): boolean {
		return this.#splitter !== undefined;
	}

	/**
	 * Ids of a text, by lines and pieces that were met before. The same as {@link QwenTokenizer.encodeUncached}.
	 *
	 * @param specialTokens - What a special token written in the text is: its id, as in Python's tokenizers, or the ordinary
	 *   text of its characters, as with `split_special_tokens` there.
	 */
	encode(text: string, specialTokens: SpecialTokens = 'ids'): Int32Array {
		const asText = specialTokens === 'text' && this.specialTokensIn(text) > 0;
		// A text that is not normalised is rare; what normalising does to it is left to the encoder.
		if (this.#splitter === undefined || text.normalize('NFC') !== text) {
			return asText ? this.#encodeAsText(text) : this.encodeUncached(text);
		}
		this.#ids.clear();
		for (let from = 0; from < text.length; ) {
			const until = nextCut(text, from);
			const line = text.slice(from, until);
			// Not kept with the others: the same line has other ids the other way.
			if (asText && this.specialTokensIn(line) > 0) this.#ids.append(this.#encodeAsText(line));
			else if (!this.#lines.copyTo(this.#ids, line)) this.#encodeLine(line, this.#splitter);
			from = until;
		}
		return this.#ids.take();
	}

	/** Ids of a text as a whole, by `@huggingface/tokenizers` alone: what {@link QwenTokenizer.encode} is tested against. */
	encodeUncached(text: string): Int32Array {
		return Int32Array.from(this.#tokenizer.encode(text, { add_special_tokens: false }).ids);
	}

	/** How many special tokens are written in a text. */
	specialTokensIn(text: string): number {
		return this.#special === undefined ? 0 : (text.match(this.#special)?.length ?? 0);
	}

	/**
	 * Text of ids. Added tokens are written out; bytes that are no UTF-8 become U+FFFD.
	 *
	 * @throws {VocabularyError} For an id that no token has, such as a row of the embedding that is not used.
	 */
	decode(ids: ArrayLike<number>): string {
		const list = Array.from(ids);
		for (const [index, id] of list.entries()) {
			if (this.#tokenizer.id_to_token(id) === undefined)
				throw new VocabularyError(
					`[tokenizer] ids must be tokens of the vocabulary (integers below ${this.vocabularySize}) but the one at ${index} is ${id}; were they made with this tokenizer?`,
				);
		}
		if (list.length === 0) return '';
		return this.#tokenizer.decode(list, { skip_special_tokens: false, clean_up_tokenization_spaces: false });
	}

	/** @param token - As the vocabulary spells it: a space before a word is `Ġ`. */
	tokenToId(token: string): number | undefined {
		return this.#tokenizer.token_to_id(token);
	}

	/**
	 * Writes the files it was made of into a folder, byte for byte, as beside an export.
	 *
	 * @returns Names of the files.
	 * @throws {OutputError} When they cannot be written.
	 */
	async save(directory: string): Promise<TokenizerFileName[]> {
		return writeTokenizerFiles(this.files, directory);
	}

	#encodeAsText(text: string): Int32Array {
		if (this.#withoutSpecial === undefined) {
			const { json } = parsed(this.files);
			const added_tokens = json.added_tokens.filter(({ special }) => !special);
			this.#withoutSpecial = huggingFaceTokenizer({ ...json, added_tokens });
		}
		return Int32Array.from(this.#withoutSpecial.encode(text, { add_special_tokens: false }).ids);
	}

	#encodeLine(line: string, splitter: PieceSplitter): void {
		const from = this.#ids.length;
		if (this.#added?.test(line)) this.#ids.append(this.encodeUncached(line));
		else {
			// Without added tokens the ids of a line are those of its pieces; a piece alone splits no further, because what
			// the pattern prefers to it in the line is longer than it or is not there.
			for (const piece of splitter.pre_tokenize_text(line)) {
				if (this.#pieces.copyTo(this.#ids, piece)) continue;
				const ids = this.encodeUncached(piece);
				this.#ids.append(ids);
				this.#pieces.put(piece, ids);
			}
		}
		this.#lines.put(line, this.#ids.since(from));
	}
}

function parsed(files: TokenizerFiles): { json: TokenizerJson; path: string; fast: boolean } {
	const fast = files.contents.has('tokenizer.json');
	const name = fast ? 'tokenizer.json' : 'vocab.json';
	const path = join(files.directory, name);
	const json = parseTokenizerJson(fast ? tokenizerJson(files, name) : tokenizerJsonFromSlowFiles(files), path);
	return { json, path, fast };
}

/** Finds any of some tokens in a text, before and after it is normalised; undefined for none. */
function anyOf(tokens: readonly string[], flags = ''): RegExp | undefined {
	const spellings = new Set(tokens.flatMap((token) => [token, token.normalize('NFC')]));
	// The longest first: a token that begins as another one is one token.
	const longestFirst = [...spellings].sort((a, b) => b.length - a.length);
	return longestFirst.length === 0 ? undefined : new RegExp(longestFirst.map(escaped).join('|'), flags);
}

/** Refuses a folder whose two lists of added tokens differ: transformers would add tokens of which tokenizer.json knows nothing. */
function requireSameAddedTokens(files: TokenizerFiles, added: readonly AddedToken[]): void {
	const known = new Map(added.map(({ id, content }) => [id, content]));
	for (const [id, { content }] of configuredTokens(files)) {
		if (known.get(id) !== content)
			throw new VocabularyError(
				`[tokenizer] ${join(files.directory, 'tokenizer_config.json')}: added tokens must be those of tokenizer.json but ${id} is "${content}" here and ${known.has(id) ? `"${known.get(id)}"` : 'missing'} there; save the tokenizer again with transformers`,
			);
	}
}

function fingerprint(files: TokenizerFiles, added: readonly AddedToken[]): string {
	const hash = createHash('sha256');
	const fast = files.contents.get('tokenizer.json');
	if (fast !== undefined) return hash.update(fast).digest('hex');
	for (const name of ['vocab.json', 'merges.txt'] as const) {
		const content = files.contents.get(name)!;
		hash.update(`${name}\0${content.length}\0`).update(content);
	}
	return hash.update(JSON.stringify(added)).digest('hex');
}

function escaped(text: string): string {
	return text.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&');
}
