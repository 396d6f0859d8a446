import { join } from 'node:path';
import { z } from 'zod';
import { parseConfig } from '../config.js';
import { VocabularyError } from '../errors.js';
import { exists } from '../files/exists.js';
import { sha256 } from '../files/hash.js';
import { readJson } from '../files/json.js';
import { SerialiserOptions } from '../text/serialiser.js';
import type { QwenTokenizer } from './qwen-tokenizer.js';
import type { TokenVocabulary } from './token-vocabulary.js';

/** 2: says what special tokens in records are, which decides the ids; in version 1 they could be either. */
const version = 2;

/** `vocabulary.json` of a text store: the tokenizer (its files are in `tokenizer/`) and how records became text. */
export const TextVocabularyFile = z.strictObject({
	format: z.literal('ehr-jepa/text-vocabulary'),
	version: z.literal(version),
	dataset: z.string(),
	etl: z.strictObject({ name: z.string(), version: z.string() }),
	dataFingerprint: z.string(),
	/** Fingerprint of the tokenizer, see `QwenTokenizer.sha256`. */
	tokenizer: z.string(),
	/** Rows of the embedding. */
	size: z.int().positive(),
	/** A row that no token of the tokenizer uses; null when the embedding has none to spare. */
	maskTokenId: z.int().nonnegative().nullable(),
	/** What a special token written in a record is: ordinary text, or its id. */
	specialTokens: z.enum(['text', 'ids']),
	serialiser: SerialiserOptions,
});
export type TextVocabularyFile = z.output<typeof TextVocabularyFile>;

/** Qwen2, 2.5 and 3 have embeddings of this many rows, more than their tokenizers have ids. */
const qwenRows = 151_936;
const qwenFirstSpecial = 151_643;

/** Tokens of serialised text. */
export class TextVocabulary implements TokenVocabulary {
	readonly kind = 'text';
	readonly file: TextVocabularyFile;
	readonly fingerprint: string;

	/** @throws {VocabularyError} When the mask token lies outside the embedding. */
	constructor(file: TextVocabularyFile) {
		if (file.maskTokenId !== null && file.maskTokenId >= file.size)
			throw new VocabularyError(
				`[vocabulary] maskTokenId must be a row of the embedding (below ${file.size}) but is ${file.maskTokenId}`,
			);
		this.file = file;
		const { tokenizer, size, maskTokenId, serialiser, specialTokens } = file;
		this.fingerprint = sha256(JSON.stringify({ tokenizer, size, maskTokenId, serialiser, specialTokens }));
	}

	/** @throws {ConfigError} {VocabularyError} For another version, too. */
	static async read(path: string): Promise<TextVocabulary> {
		const json = await readJson(path, { scope: 'vocabulary', rule: 'must be a JSON file', error: VocabularyError });
		const found = (json as { readonly version?: unknown } | null)?.version;
		if (typeof found === 'number' && found !== version)
			throw new VocabularyError(
				`[vocabulary] ${path}: version must be ${version} but is ${found}, under which the same record may have other ids; run prepare again`,
			);
		return new TextVocabulary(parseConfig(`vocabulary ${path}`, TextVocabularyFile, json));
	}

	get size(): number {
		return this.file.size;
	}

	get maskTokenId(): number | null {
		return this.file.maskTokenId;
	}

	/** Text says when a patient was born. */
	ageToken(): undefined {
		return undefined;
	}
}

/**
 * Rows of the embedding for a tokenizer: as asked, else as `config.json` beside it says, else those of Qwen, else one more
 * than there are tokens, for the mask.
 *
 * @throws {VocabularyError} When there are fewer rows than tokens.
 */
export async function embeddingRows(tokenizer: QwenTokenizer, asked: number | undefined): Promise<number> {
	const used = tokenizer.vocabularySize;
	const isQwen = used > qwenFirstSpecial && used < qwenRows;
	const rows = asked ?? (await rowsOfConfig(tokenizer.files.directory)) ?? (isQwen ? qwenRows : used + 1);
	if (rows < used)
		throw new VocabularyError(
			`[vocabulary] the embedding must have a row for each of the ${used} tokens of the tokenizer but has ${rows}; give the tokenizer of the model, or the rows of a model yet to be made with --vocab-size (vocabSize in code)`,
		);
	return rows;
}

const rows = z.int().optional().catch(undefined);
const ModelRows = z.looseObject({
	vocab_size: rows,
	text_config: z.looseObject({ vocab_size: rows }).nullish().catch(undefined),
});

async function rowsOfConfig(directory: string): Promise<number | undefined> {
	const file = join(directory, 'config.json');
	// A tokenizer alone has no configuration of a model.
	if (!(await exists(file))) return undefined;
	const config = ModelRows.safeParse(await readJson(file, { scope: 'vocabulary', error: VocabularyError }));
	return config.success ? (config.data.text_config?.vocab_size ?? config.data.vocab_size) : undefined;
}
