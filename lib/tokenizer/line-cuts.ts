/** How Qwen's tokenizers (2, 2.5 and 3) split text into pieces before BPE: `pre_tokenizer` of their `tokenizer.json`. */
export const qwenPattern =
	"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/**
 * End of the line that begins at `from`: the next place after a newline and before a character that is not white space,
 * else the end of the text.
 *
 * Text may be encoded line by line there, and nowhere else, because with {@link qwenPattern}
 *
 * - no piece spans such a place: after a newline a piece goes on with `\r`, `\n` or white space only (alternatives 4 to
 *   7; the first three hold no newline);
 * - what stands to the right does not reach back: the pattern looks ahead in ` \s+(?!\S)` alone, and white space before
 *   the place, which ends in a newline, is taken whole by `\s*[\r\n]+`, which comes first;
 * - what stands to the left does not reach on: the pattern never looks behind.
 *
 * A newline followed by white space is no such place: `\n\n` and `\n  \n` are one piece, and in `\n  x` the spaces are
 * split by what follows them. NFC neither composes nor reorders across a newline. Added tokens are found before the
 * pattern; they must neither hold a newline nor strip what is on their left (`lstrip`), see `mayCut`.
 */
export function nextCut(text: string, from: number): number {
	for (let at = text.indexOf('\n', from) + 1; at !== 0 && at < text.length; at = text.indexOf('\n', at) + 1) {
		if (!maybeWhiteSpace(text.charCodeAt(at))) return at;
	}
	return text.length;
}

/** True for white space by Unicode's and by JavaScript's definition, and for controls: where no cut is made none can be wrong. */
function maybeWhiteSpace(unit: number): boolean {
	if (unit < 0x7f) return unit <= 0x20;
	return unit <= 0xa0 || (unit >= 0x1680 && /\s/.test(String.fromCharCode(unit)));
}

/** What decides whether text may be cut: the parts of a `tokenizer.json`. */
interface Splitting {
	readonly pre_tokenizer: unknown;
	readonly added_tokens: readonly { readonly content: string; readonly lstrip?: boolean | undefined }[];
}

/** Whether {@link nextCut} holds for a tokenizer. Another one is used without cuts, and so without a cache. */
export function mayCut({ pre_tokenizer, added_tokens }: Splitting): boolean {
	const sequence = pre_tokenizer as { readonly pretokenizers?: readonly Readonly<Record<string, unknown>>[] } | null;
	const [split, bytes, ...rest] = sequence?.pretokenizers ?? [];
	const pattern = split?.pattern as { readonly Regex?: unknown } | undefined;
	return (
		split?.type === 'Split' &&
		pattern?.Regex === qwenPattern &&
		split.behavior === 'Isolated' &&
		!split.invert &&
		bytes?.type === 'ByteLevel' &&
		!bytes.add_prefix_space &&
		bytes.use_regex === false &&
		rest.length === 0 &&
		added_tokens.every(({ content, lstrip }) => !lstrip && !content.includes('\n'))
	);
}
