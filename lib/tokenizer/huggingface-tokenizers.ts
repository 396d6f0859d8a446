import * as library from '@huggingface/tokenizers';

/** What is used of `Tokenizer` of `@huggingface/tokenizers`. */
export interface HuggingFaceTokenizer {
	encode(text: string, options: { readonly add_special_tokens: boolean }): { readonly ids: readonly number[] };
	decode(
		ids: readonly number[],
		options: { readonly skip_special_tokens: boolean; readonly clean_up_tokenization_spaces: boolean },
	): string;
	token_to_id(token: string): number | undefined;
	id_to_token(id: number): string | undefined;
}

/** Splits a text into the pieces that BPE works on. */
export interface PieceSplitter {
	pre_tokenize_text(text: string): string[];
}

// Its type declarations import without file extensions, which TypeScript does not resolve for ES modules.
const untyped: unknown = library;
const { Tokenizer, SplitPreTokenizer } = untyped as {
	readonly Tokenizer: new (json: object, config: object) => HuggingFaceTokenizer;
	readonly SplitPreTokenizer: new (config: object) => PieceSplitter;
};

/** @param json - Content of a tokenizer.json; it is not copied. */
export function huggingFaceTokenizer(json: object): HuggingFaceTokenizer {
	// The configuration file is left out: it could switch on clean-ups that transformers' fast tokenizers do not do.
	return new Tokenizer(json, {});
}

/** @param regex - In the syntax of tokenizer.json. */
export function pieceSplitter(regex: string): PieceSplitter {
	return new SplitPreTokenizer({
		type: 'Split',
		pattern: { Regex: regex },
		behavior: 'Isolated',
		invert: false,
	});
}
