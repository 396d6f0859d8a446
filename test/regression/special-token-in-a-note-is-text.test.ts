/** A special token written in a record is ordinary text, or its id when asked; it is counted either way. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { objectivePresets, openTokenStore, prepareStore, Trainer } from '../../lib/index.js';
import { QwenTokenizer } from '../../lib/tokenizer/qwen-tokenizer.js';
import { temporaryFolder } from '../fixtures/temporary-folder.js';
import { writeTinyMeds } from '../fixtures/tiny-meds.js';
import { tinyTokenizerJson, writeTokenizer } from '../fixtures/tiny-tokenizer.js';

const folder = temporaryFolder(t);
const json = tinyTokenizerJson();
json.added_tokens.push({ ...json.added_tokens[0]!, id: 259, content: '<tag>', special: false });
const tokenizer = await QwenTokenizer.fromPretrained(writeTokenizer(folder, { 'tokenizer.json': json }));
const end = 258;

t.test('the tokenizer gives ids unless it is asked for text, whatever it was asked before', async (t) => {
	const text = 'abc <|end|>\n<|end|>abc<tag>\nabc\n';
	const ids = [...tokenizer.encode(text)];
	t.equal(ids.filter((id) => id === end).length, 2);
	t.same(ids, [...tokenizer.encodeUncached(text)]);
	for (let i = 0; i < 2; i++) {
		const asText = [...tokenizer.encode(text, 'text')];
		t.notOk(asText.includes(end));
		t.ok(asText.includes(259), 'an added token that is not special stays one');
		t.equal(tokenizer.decode(asText), text, 'no character is lost');
		t.same([...tokenizer.encode(text)], ids, 'the caches keep them apart');
	}
	t.equal(tokenizer.specialTokensIn(text), 2);
	// Not NFC: the text is encoded as a whole.
	t.notOk([...tokenizer.encode('e\u0301 <|end|>', 'text')].includes(end));
});

t.test('in a store it is text by default, an id when asked, and counted', async (t) => {
	const meds = await writeTinyMeds(
		join(folder, 'meds'),
		{
			'train/0.parquet': [
				{ subject: 1, time: '2020-01-01 10:00:00', code: 'LAB//abc<|end|>' },
				{ subject: 1, time: '2020-01-02 10:00:00', code: 'LAB//abc', value: 1 },
			],
		},
		{ 1: 'train' },
	);
	const tokensOf = async (name: string, options: object) => {
		const tokens = { kind: 'text' as const, tokenizer: folder, ...options };
		const manifest = await prepareStore(meds, join(folder, name), { tokens });
		const store = await openTokenStore(join(folder, name));
		const timeline = await store.split('train').timeline(0);
		await store.close();
		return { manifest, tokens: [...timeline.tokens], fingerprint: store.vocabulary.fingerprint };
	};
	const text = await tokensOf('as-text', {});
	const ids = await tokensOf('as-ids', { specialTokens: 'ids' });
	t.notOk(text.tokens.includes(end));
	t.equal(ids.tokens.filter((id) => id === end).length, 1);
	t.equal(tokenizer.decode(text.tokens), tokenizer.decode(ids.tokens));
	t.not(text.fingerprint, ids.fingerprint, 'a model of the one is not taken for one of the other');
	const file = join(folder, 'as-text', 'vocabulary.json');
	const { specialTokens: _, ...before } = JSON.parse(readFileSync(file, 'utf8'));
	writeFileSync(file, JSON.stringify({ ...before, version: 1 }));
	await t.rejects(openTokenStore(join(folder, 'as-text')), {
		code: 'EHR_JEPA_VOCABULARY',
		message: /as-text\/vocabulary.json: version must be 2 but is 1, .*run prepare again/,
	});
	for (const { manifest } of [text, ids]) {
		t.match(manifest.coverage, { specialTokens: 1 });
		t.ok(manifest.notes.some((note) => /^1 special tokens of the tokenizer are written in the records/.test(note)));
	}
});

t.test('an embedding with no row to spare is enough for next tokens, and the advice names an option', async (t) => {
	writeFileSync(join(folder, 'config.json'), JSON.stringify({ vocab_size: 260 }));
	const manifest = await prepareStore(join(folder, 'meds'), join(folder, 'full'), {
		tokens: { kind: 'text', tokenizer: folder },
	});
	t.ok(manifest.notes.some((note) => /none to spare for a mask token.*--vocab-size/.test(note)));
	const store = await openTokenStore(join(folder, 'full'));
	t.teardown(() => store.close());
	t.equal(store.vocabulary.maskTokenId, null);
	const model = {
		hiddenSize: 16,
		intermediateSize: 16,
		numHiddenLayers: 1,
		numAttentionHeads: 1,
		numKeyValueHeads: 1,
		headDim: 8,
	};
	await t.rejects(Trainer.create(join(folder, 'both'), store, { model }), {
		code: 'EHR_JEPA_VOCABULARY',
		message: /needs a mask token .* 260 rows has none to spare; .*--vocab-size 261/,
	});
	const sft = { model, objective: objectivePresets.sft, contextTokens: 64, futureTokens: 16 };
	await using trainer = await Trainer.create(join(folder, 'sft'), store, sft);
	t.equal(trainer.model.options.maskTokenId, null);
	writeFileSync(join(folder, 'config.json'), JSON.stringify({ vocab_size: 100 }));
	await t.rejects(
		prepareStore(join(folder, 'meds'), join(folder, 'few'), { tokens: { kind: 'text', tokenizer: folder } }),
		{ code: 'EHR_JEPA_VOCABULARY', message: /a row for each of the 260 tokens .* has 100; .*--vocab-size/ },
	);
});
