import { z } from 'zod';
import { ruleOf } from '../config.js';
import { VocabularyError } from '../errors.js';
import { isObject, shown } from '../found.js';
import { byteSymbols } from './byte-symbols.js';

/** A token that is found in the text before it is split into pieces, such as `<|im_end|>`. */
export const AddedToken = z.looseObject({
	id: z.int().nonnegative(),
	content: z.string().min(1),
	/** Not part of what a reader wants to see; a token of a chat template may be added and not special. */
	special: z.boolean().default(false),
	normalized: z.boolean().optional(),
	single_word: z.literal(false).optional(),
	lstrip: z.boolean().optional(),
	rstrip: z.boolean().optional(),
});
export type AddedToken = z.output<typeof AddedToken>;

type Merge = string | readonly [string, string];

const none = z.literal('').nullish();
// Only what decides the ids; vocabulary and merges are too long for a schema per entry and are checked below.
const TokenizerJson = z.looseObject({
	added_tokens: z.array(AddedToken).default([]),
	normalizer: z.looseObject({ type: z.literal('NFC') }).nullable(),
	pre_tokenizer: z
		.looseObject({ type: z.string(), pretokenizers: z.array(z.looseObject({ type: z.string() })).optional() })
		.refine(
			({ type, pretokenizers }) => (pretokenizers?.at(-1)?.type ?? type) === 'ByteLevel',
			'Invalid input: expected a ByteLevel pre-tokenizer at the end',
		),
	post_processor: z.unknown(),
	decoder: z.looseObject({ type: z.literal('ByteLevel') }),
	model: z.looseObject({
		type: z.literal('BPE'),
		dropout: z.null().optional(),
		continuing_subword_prefix: none,
		end_of_word_suffix: none,
		vocab: z.custom<Readonly<Record<string, number>>>(isObject, 'Invalid input: expected an object'),
		merges: z.custom<readonly Merge[]>(Array.isArray, 'Invalid input: expected an array'),
	}),
});
/** Content of a `tokenizer.json` with a byte-level BPE. */
export type TokenizerJson = z.output<typeof TokenizerJson>;

/**
 * Checks that a `tokenizer.json` is that of a byte-level BPE.
 *
 * @param file - For messages.
 * @throws {VocabularyError} Names file, key, rule and value.
 */
export function parseTokenizerJson(json: unknown, file: string): TokenizerJson {
	const parsed = TokenizerJson.safeParse(json, { reportInput: true });
	if (!parsed.success) {
		const issue = parsed.error.issues[0]!;
		throw new VocabularyError(
			`[tokenizer] ${file}: ${issue.path.join('.') || 'the file'} must be that of a byte-level BPE (${ruleOf(issue)}) but is ${shown(issue.input)}; only tokenizers of the Qwen kind are supported`,
		);
	}
	return parsed.data;
}

/**
 * Checks that tokens and merges are whole: a byte or a merge without a token would silently be dropped from the text.
 *
 * @param file - For messages.
 * @throws {VocabularyError} Names file, rule and value.
 */
export function checkTokens({ model, added_tokens }: TokenizerJson, file: string): void {
	const refuse = (rule: string, found: string): never => {
		throw new VocabularyError(`[tokenizer] ${file}: ${rule} but ${found}; the file is damaged, fetch it again`);
	};
	const tokenOf = new Map<number, string>();
	const give = (token: string, id: number) => {
		const other = tokenOf.get(id);
		if (!Number.isInteger(id) || id < 0) refuse('token ids must be integers from 0', `that of "${token}" is ${id}`);
		if (other !== undefined && other !== token)
			refuse('token ids must be unique', `${id} is given to "${other}" and to "${token}"`);
		tokenOf.set(id, token);
	};
	for (const [token, id] of Object.entries(model.vocab)) give(token, id);
	for (const { content, id } of added_tokens) {
		const own = Object.hasOwn(model.vocab, content) ? model.vocab[content] : id;
		if (own !== id) refuse('added tokens must keep the ids of the vocabulary', `"${content}" is ${own} and ${id}`);
		give(content, id);
	}
	for (const [byte, symbol] of byteSymbols().entries()) {
		if (!Object.hasOwn(model.vocab, symbol))
			refuse('model.vocab must hold a token for each of the 256 bytes', `byte ${byte} has none`);
	}
	for (const [rank, merge] of model.merges.entries()) {
		const [left, right, ...rest] = typeof merge === 'string' ? merge.split(' ') : merge;
		if (left === undefined || right === undefined || rest.length > 0 || !Object.hasOwn(model.vocab, left + right))
			refuse('merges must be two tokens whose join is a token', `merge ${rank} is ${shown(merge)}`);
	}
}
