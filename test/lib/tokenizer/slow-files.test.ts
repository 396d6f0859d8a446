import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { QwenTokenizer } from '../../../lib/tokenizer/qwen-tokenizer.js';
import { qwen3Folder } from '../../fixtures/qwen3-tokenizer.js';
import { temporaryFolder } from '../../fixtures/temporary-folder.js';
import { tinyTokenizerJson, writeTokenizer } from '../../fixtures/tiny-tokenizer.js';

const fast = JSON.parse(readFileSync(join(qwen3Folder, 'tokenizer.json'), 'utf8'));
const config = JSON.parse(readFileSync(join(qwen3Folder, 'tokenizer_config.json'), 'utf8'));
const merges = ['#version: 0.2', ...fast.model.merges.map((merge: string[]) => merge.join(' ')), ''].join('\n');
const added = Object.fromEntries(
	fast.added_tokens.map(({ content, id }: { content: string; id: number }) => [content, id]),
);
const texts = [
	"[2024-01-10]\nHemoglobin: 12.3 g/dL\n\n  it's # <|im_end|>\n",
	'<think>\n</think> e\u0301 漢字 😀',
	'a ## b',
];

t.test('the slow files of Qwen3 give the ids of its tokenizer.json', async (t) => {
	const qwen3 = await QwenTokenizer.fromPretrained(qwen3Folder);
	const { added_tokens_decoder: _, ...plainConfig } = config;
	for (const [name, files] of Object.entries({
		'added tokens in added_tokens.json': {
			'added_tokens.json': added,
			'special_tokens_map.json': { eos_token: { content: '<|im_end|>' }, pad_token: '<|endoftext|>' },
			'tokenizer_config.json': plainConfig,
		},
		'added tokens in tokenizer_config.json': { 'tokenizer_config.json': config },
		'added tokens in both': { 'added_tokens.json': added, 'tokenizer_config.json': config },
	})) {
		const folder = writeTokenizer(temporaryFolder(t), {
			'vocab.json': fast.model.vocab,
			'merges.txt': merges,
			...files,
		});
		const slow = await QwenTokenizer.fromPretrained(folder);
		for (const text of texts) t.same(slow.encode(text), qwen3.encode(text), `${name}: ${JSON.stringify(text)}`);
		t.equal(slow.vocabularySize, qwen3.vocabularySize);
		t.equal(slow.specialTokens.get('<|im_end|>'), 151_645);
		t.notOk(slow.specialTokens.has('<tool_call>'));
		t.equal(slow.decode(slow.encode(texts[0]!)), texts[0]);
		t.match(slow.sha256, /^[0-9a-f]{64}$/);
		t.not(slow.sha256, qwen3.sha256, 'other files');
	}
});

t.test('lists of added tokens: missing, in conflict, of another kind', async (t) => {
	const { vocab } = tinyTokenizerJson().model;
	const slow = { 'vocab.json': vocab, 'merges.txt': '#version: 0.2\r\na b\r\nab c\r\n' };
	const refused = async (files: Readonly<Record<string, unknown>>, message: RegExp) =>
		t.rejects(QwenTokenizer.fromPretrained(writeTokenizer(temporaryFolder(t), files)), {
			code: 'EHR_JEPA_VOCABULARY',
			message,
		});
	const open = async (files: Readonly<Record<string, unknown>>) =>
		QwenTokenizer.fromPretrained(writeTokenizer(temporaryFolder(t), files));
	const tokenizer = await open({ ...slow, 'added_tokens.json': { '<e>': 300 } });
	t.same([...tokenizer.encode('abc<e>')], [257, 300]);
	const copy = join(temporaryFolder(t), 'copy');
	t.same(await tokenizer.save(copy), ['vocab.json', 'merges.txt', 'added_tokens.json']);
	t.equal((await QwenTokenizer.fromPretrained(copy)).sha256, tokenizer.sha256);
	t.not((await open({ ...slow, 'added_tokens.json': { '<e>': 301 } })).sha256, tokenizer.sha256);
	await refused(slow, /must name the added tokens \(<\|endoftext\|> \.\.\.\) in added_tokens\.json or in/);
	await refused(
		{
			...slow,
			'added_tokens.json': { '<e>': 258 },
			'tokenizer_config.json': { added_tokens_decoder: { 258: { content: '<f>' } } },
		},
		/added_tokens\.json: added tokens must be those of tokenizer_config\.json but 258 is "<e>" here and "<f>" there/,
	);
	await refused({ ...slow, 'added_tokens.json': { '<e>': 'x' } }, /added_tokens\.0\.id must be .* but is "x"/);
	await refused({ 'vocab.json': vocab, 'added_tokens.json': { '<e>': 300 } }, /merges\.txt is missing/);
	await refused({ 'merges.txt': 'a b' }, /vocab\.json is missing \(found: merges\.txt\)/);
	await refused(
		{ ...slow, 'merges.txt': 'a b\nabc', 'added_tokens.json': { '<e>': 300 } },
		/merges must be two tokens whose join is a token but merge 1 is "abc"/,
	);
});
