import type { QwenTokenizer } from './qwen-tokenizer.js';
import type { TokenizerFileName } from './tokenizer-files.js';

/** Files of a tokenizer in memory that all threads read. */
export function sharedContents({
	files,
}: QwenTokenizer): readonly (readonly [name: TokenizerFileName, content: SharedArrayBuffer])[] {
	return [...files.contents].map(([name, content]) => {
		const memory = new SharedArrayBuffer(content.length);
		new Uint8Array(memory).set(content);
		return [name, memory] as const;
	});
}
