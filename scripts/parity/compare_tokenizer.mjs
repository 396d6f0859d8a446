#!/usr/bin/env node
/**
 * Compares our ids with those of Python's `tokenizers`, both ways to read special tokens: FOLDER FILE, the file by
 * make_tokenizer_strings.py. Exits with 1 when a text differs, and prints the first ones.
 */
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';

const [folder, file] = process.argv.slice(2);
if (folder === undefined || file === undefined) {
	console.error('usage: node scripts/parity/compare_tokenizer.mjs FOLDER FILE');
	process.exit(2);
}
const { QwenTokenizer } = await import(new URL('../../dist/lib/tokenizer/qwen-tokenizer.js', import.meta.url).href);
const tokenizer = await QwenTokenizer.fromPretrained(folder);
const counts = { texts: 0, withSpecialTokens: 0, ids: 0, differInIds: 0, differAsText: 0 };
for await (const line of createInterface({ input: createReadStream(file) })) {
	const { text, ids, asText } = JSON.parse(line);
	counts.texts++;
	counts.ids += ids.length + asText.length;
	if (tokenizer.specialTokensIn(text) > 0) counts.withSpecialTokens++;
	/** @param {number[]} expected @param {'ids' | 'text'} mode */
	const differs = (expected, mode) => tokenizer.encode(text, mode).join() !== expected.join();
	const ways = [differs(ids, 'ids') ? 'ids' : undefined, differs(asText, 'text') ? 'text' : undefined];
	if (ways[0]) counts.differInIds++;
	if (ways[1]) counts.differAsText++;
	if ((ways[0] ?? ways[1]) && counts.differInIds + counts.differAsText <= 5)
		console.log(`differs (${ways.filter(Boolean).join(', ')}): ${JSON.stringify(text)}`);
}
console.log(counts);
process.exitCode = counts.differInIds + counts.differAsText > 0 ? 1 : 0;
