import { join } from 'node:path';
import { VocabularyError } from '../errors.js';
import { qwenPattern } from './line-cuts.js';
import { type TokenizerFiles, tokenizerJson, tokenizerText } from './tokenizer-files.js';

/** Names under which `special_tokens_map.json` and `tokenizer_config.json` keep special tokens. */
const specialKeys = ['bos_token', 'eos_token', 'unk_token', 'pad_token', 'additional_special_tokens'];

/**
 * The `tokenizer.json` of a folder that has the files of the slow tokenizer alone (`Qwen2Tokenizer`): `vocab.json`,
 * `merges.txt`, and the added tokens in `added_tokens.json`, in `added_tokens_decoder` of `tokenizer_config.json`, or both.
 *
 * @returns Content for `parseTokenizerJson`.
 * @throws {VocabularyError} When a file is missing or broken, or the two lists of added tokens differ.
 * @see transformers `tokenization_qwen2.py`, `convert_slow_tokenizer.py` (`Qwen2Converter`)
 */
export function tokenizerJsonFromSlowFiles(files: TokenizerFiles): Readonly<Record<string, unknown>> {
	const vocab = tokenizerJson(files, 'vocab.json');
	const bytes = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: false };
	return {
		version: '1.0',
		truncation: null,
		padding: null,
		added_tokens: addedTokens(files),
		normalizer: { type: 'NFC' },
		pre_tokenizer: {
			type: 'Sequence',
			pretokenizers: [{ type: 'Split', pattern: { Regex: qwenPattern }, behavior: 'Isolated', invert: false }, bytes],
		},
		post_processor: bytes,
		decoder: bytes,
		model: {
			type: 'BPE',
			dropout: null,
			unk_token: null,
			continuing_subword_prefix: '',
			end_of_word_suffix: '',
			fuse_unk: false,
			byte_fallback: false,
			ignore_merges: false,
			vocab,
			merges: mergesOf(tokenizerText(files, 'merges.txt')),
		},
	};
}

/** Lines of a merges.txt; `#version` is a comment in the first line alone, `# #` is a merge. */
function mergesOf(text: string): string[] {
	return text
		.split('\n')
		.map((line) => line.trim())
		.filter((line, index) => line !== '' && !(index === 0 && line.startsWith('#version')));
}

/** Tokens named by `added_tokens_decoder` of a folder's tokenizer_config.json: id to the token's properties. */
export function configuredTokens(files: TokenizerFiles): ReadonlyMap<number, Readonly<Record<string, unknown>>> {
	if (!files.contents.has('tokenizer_config.json')) return new Map();
	const decoder = tokenizerJson(files, 'tokenizer_config.json').added_tokens_decoder ?? {};
	return new Map(Object.entries(decoder).map(([id, token]) => [Number(id), token as Record<string, unknown>]));
}

function addedTokens(files: TokenizerFiles): Readonly<Record<string, unknown>>[] {
	const tokens = new Map<number, Readonly<Record<string, unknown>>>();
	for (const [id, token] of configuredTokens(files)) tokens.set(id, { id, ...token });
	if (files.contents.has('added_tokens.json')) {
		const special = specialContents(files);
		for (const [content, id] of Object.entries(tokenizerJson(files, 'added_tokens.json'))) {
			const configured = tokens.get(Number(id));
			if (configured !== undefined && configured.content !== content)
				throw new VocabularyError(
					`[tokenizer] ${join(files.directory, 'added_tokens.json')}: added tokens must be those of tokenizer_config.json but ${id} is "${content}" here and "${configured.content}" there; fetch both again`,
				);
			// What transformers assumes of a token of which nothing but the id is known.
			if (configured === undefined)
				tokens.set(Number(id), { id, content, special: special.has(content), normalized: !special.has(content) });
		}
	}
	if (tokens.size === 0)
		throw new VocabularyError(
			`[tokenizer] ${files.directory} must name the added tokens (<|endoftext|> ...) in added_tokens.json or in added_tokens_decoder of tokenizer_config.json but does in neither; fetch both files of the model`,
		);
	return [...tokens].sort(([a], [b]) => a - b).map(([, token]) => token);
}

function specialContents(files: TokenizerFiles): ReadonlySet<string> {
	const found = new Set<string>();
	for (const name of ['special_tokens_map.json', 'tokenizer_config.json'] as const) {
		if (!files.contents.has(name)) continue;
		const json = tokenizerJson(files, name);
		for (const value of specialKeys.flatMap((key) => json[key] ?? [])) {
			const content = typeof value === 'string' ? value : (value as { readonly content?: unknown }).content;
			if (typeof content === 'string') found.add(content);
		}
	}
	return found;
}
