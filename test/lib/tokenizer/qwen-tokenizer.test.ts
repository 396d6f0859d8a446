import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { QwenTokenizer } from '../../../lib/tokenizer/qwen-tokenizer.js';
import { clinicalTexts } from '../../fixtures/clinical-texts.js';
import fc from '../../fixtures/property.js';
import { qwen3Folder } from '../../fixtures/qwen3-tokenizer.js';
import { temporaryFolder } from '../../fixtures/temporary-folder.js';
import { tinyTokenizerJson, writeTokenizer } from '../../fixtures/tiny-tokenizer.js';

const expected: { readonly rows: readonly { readonly text: string; readonly ids: readonly number[] }[] } = JSON.parse(
	readFileSync(fileURLToPath(new URL('../../../../test/fixtures/tokenizer/qwen3-ids.json', import.meta.url)), 'utf8'),
);
const qwen3 = await QwenTokenizer.fromPretrained(qwen3Folder);

t.test('the tokenizer of the tests is that of Qwen3-1.7B', async (t) => {
	const published = 'aeb13307a71acd8fe81861d94ad54ab689df773318809eed3cbe794b4492dae4';
	const file = readFileSync(join(qwen3Folder, 'tokenizer.json'));
	t.equal(createHash('sha256').update(file).digest('hex'), published);
	t.equal(qwen3.sha256, published, 'and the fingerprint is the SHA-256 of the file');
	t.equal(qwen3.vocabularySize, 151_669);
	t.equal(qwen3.tokenToId('<|endoftext|>'), 151_643);
	t.equal(qwen3.tokenToId('</think>'), 151_668);
	t.equal(qwen3.tokenToId('no such token'), undefined);
	t.equal(qwen3.specialTokens.get('<|im_end|>'), 151_645);
	t.notOk(qwen3.specialTokens.has('<think>'), 'added, not special');
});

t.test('ids are those of HuggingFace tokenizers', async (t) => {
	// Named by number: some texts hold line separators, at which a reader of the test's own output would cut.
	for (const [row, { text, ids }] of expected.rows.entries()) {
		t.same([...qwen3.encodeUncached(text)], ids, `row ${row}`);
		t.same([...qwen3.encode(text)], ids, `row ${row}, by lines`);
		t.same([...qwen3.encode(text)], ids, `row ${row}, from the cache`);
	}
});

t.test('no token is added at either end', async (t) => {
	t.same([...qwen3.encode('')], []);
	t.same([...qwen3.encode('Hello')], [9707]);
	t.same([...qwen3.encode('<|endoftext|>')], [151_643], 'only what the text says itself');
});

t.test('the cache changes no id', async () => {
	fc.assert(
		fc.property(fc.array(clinicalTexts, { minLength: 1, maxLength: 4 }), (texts) => {
			for (const text of [...texts, texts.join('\n'), texts.join('')]) {
				const whole = qwen3.encodeUncached(text);
				for (const ids of [qwen3.encode(text), qwen3.encode(text)]) {
					if (ids.join() !== whole.join())
						throw new Error(`${JSON.stringify(text)} must be ${whole.join()} but is ${ids.join()}`);
				}
			}
		}),
		{ numRuns: 1500 },
	);
});

t.test('a tokenizer that splits otherwise is used without cuts, with the same ids', async (t) => {
	const variants: Record<string, (json: ReturnType<typeof tinyTokenizerJson>) => void> = {
		"GPT-2's own splitting": (json) => {
			json.pre_tokenizer.pretokenizers = [{ type: 'ByteLevel', add_prefix_space: false, use_regex: true }];
		},
		'another pattern': (json) => {
			json.pre_tokenizer.pretokenizers[0]!.pattern = { Regex: '\\s+\\S+|\\S+' };
		},
		'an added token that strips on its left': (json) => {
			json.added_tokens[0]!.lstrip = true;
		},
		'an added token with a newline': (json) => {
			json.added_tokens[0]!.content = '\nab';
		},
	};
	for (const [name, change] of Object.entries(variants)) {
		const json = tinyTokenizerJson();
		change(json);
		const tokenizer = await QwenTokenizer.fromPretrained(
			writeTokenizer(temporaryFolder(t), { 'tokenizer.json': json }),
		);
		for (const text of ['ab\nab\nabc', 'ab\n<|end|>\nab', 'x\n\nab <|end|>  \nab'])
			t.same(tokenizer.encode(text), tokenizer.encodeUncached(text), `${name}: ${JSON.stringify(text)}`);
	}
});

t.test('decode gives the text back, normalised', async (t) => {
	for (const { text } of expected.rows) t.equal(qwen3.decode(qwen3.encode(text)), text.normalize('NFC'));
	t.equal(qwen3.decode([]), '');
	t.equal(qwen3.decode([qwen3.tokenToId('ð')!, 9707]), '\ufffdHello', 'the first byte of a character');
	for (const id of [151_669, 151_935, -1, 1.5, Number.NaN]) {
		t.throws(() => qwen3.decode([9707, id]), {
			code: 'EHR_JEPA_VOCABULARY',
			message: `[tokenizer] ids must be tokens of the vocabulary (integers below 151669) but the one at 1 is ${id}; were they made with this tokenizer?`,
		});
	}
});

t.test('saved files are those that were read', async (t) => {
	const folder = join(temporaryFolder(t), 'export');
	t.same(await qwen3.save(folder), ['tokenizer.json', 'tokenizer_config.json']);
	for (const name of ['tokenizer.json', 'tokenizer_config.json'])
		t.ok(readFileSync(join(folder, name)).equals(readFileSync(join(qwen3Folder, name))), name);
	await t.rejects(qwen3.save(join(folder, 'tokenizer.json')), { code: 'EHR_JEPA_OUTPUT' });
});

t.test('a tokenizer that cannot be used is refused by name', async (t) => {
	const refused = async (name: string, files: Readonly<Record<string, unknown>>, message: RegExp) => {
		const folder = writeTokenizer(temporaryFolder(t), files);
		await t.rejects(QwenTokenizer.fromPretrained(folder), { code: 'EHR_JEPA_VOCABULARY', message }, name);
	};
	const json = (change: (json: ReturnType<typeof tinyTokenizerJson>) => void) => {
		const made = tinyTokenizerJson();
		change(made);
		return { 'tokenizer.json': made };
	};
	await t.rejects(QwenTokenizer.fromPretrained(join(temporaryFolder(t), 'absent')), {
		code: 'EHR_JEPA_VOCABULARY',
		message: /absent must be a folder with readable tokenizer files but is nothing with that name/,
	});
	await refused('no file', {}, /vocab\.json is missing \(found: none of them\)/);
	await refused('half of the slow files', { 'vocab.json': {} }, /merges\.txt is missing|must name the added tokens/);
	await refused('broken JSON', { 'tokenizer.json': '{"model": ' }, /tokenizer\.json must be a JSON object but cannot/);
	await refused('no object', { 'tokenizer.json': '[]' }, /tokenizer\.json must be a JSON object but is a list/);
	await refused('empty', { 'tokenizer.json': '{}' }, /must be that of a byte-level BPE .* but is missing/);
	await refused(
		'WordPiece',
		json((made) => {
			made.model.type = 'WordPiece';
		}),
		/model\.type must be that of a byte-level BPE .* but is "WordPiece"; only tokenizers of the Qwen kind/,
	);
	await refused(
		'sentencepiece BPE',
		json((made) => {
			made.pre_tokenizer.pretokenizers = [{ type: 'Metaspace' }];
		}),
		/pre_tokenizer must be that of a byte-level BPE/,
	);
	await refused(
		'lower case',
		json((made) => {
			made.normalizer.type = 'Lowercase';
		}),
		/normalizer\.type must be that of a byte-level BPE .* but is "Lowercase"/,
	);
	await refused(
		'a byte without a token',
		json((made) => {
			delete (made.model.vocab as Record<string, number>).Ġ;
		}),
		/model\.vocab must hold a token for each of the 256 bytes but byte 32 has none/,
	);
	await refused(
		'a merge without a token',
		json((made) => {
			made.model.merges.push('a c');
		}),
		/merges must be two tokens whose join is a token but merge 2 is "a c"/,
	);
	await refused(
		'an id twice',
		json((made) => {
			made.added_tokens[0]!.id = 257;
		}),
		/token ids must be unique but 257 is given to "abc" and to "<\|end\|>"/,
	);
	await refused(
		'other added tokens in the configuration',
		{
			'tokenizer.json': tinyTokenizerJson(),
			'tokenizer_config.json': { added_tokens_decoder: { 259: { content: '<|mask|>' } } },
		},
		/tokenizer_config\.json: added tokens must be those of tokenizer\.json but 259 is "<\|mask\|>" here and missing/,
	);
});
