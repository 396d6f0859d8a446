import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import {
	embed,
	openModel,
	openTokenStore,
	prepareStore,
	simulateCohort,
	surpriseByDay,
	Trainer,
} from '../../../lib/index.js';
import { QwenTokenizer } from '../../../lib/tokenizer/qwen-tokenizer.js';
import { embeddingRows } from '../../../lib/tokenizer/text-vocabulary.js';
import { qwen3Folder } from '../../fixtures/qwen3-tokenizer.js';
import { temporaryFolder } from '../../fixtures/temporary-folder.js';
import { tinyModel } from '../../fixtures/tiny-model.js';
import { tinyTokenizerJson, writeTokenizer } from '../../fixtures/tiny-tokenizer.js';

const folder = temporaryFolder(t);
const at = (name: string) => join(folder, name);
const tokenizer = writeTokenizer(folder, { 'tokenizer.json': tinyTokenizerJson() });

t.before(async () => {
	await simulateCohort(at('cohort'), { patients: 20, seed: 1 });
	await prepareStore(at('cohort'), at('text'), { tokens: { kind: 'text', tokenizer } });
});

t.test('a text store says what became of the events and carries its tokenizer', async (t) => {
	const store = await openTokenStore(at('text'));
	t.teardown(() => store.close());
	const { manifest, vocabulary } = store;
	if (vocabulary.kind !== 'text' || manifest.coverage.kind !== 'text') throw new Error('the store must be of text');
	t.equal(vocabulary.size, 260, 'the tokens of the tokenizer and the mask');
	t.equal(vocabulary.maskTokenId, 259);
	const { events, written, dropped } = manifest.coverage;
	t.equal(events, written + Object.values(dropped).reduce((sum, count) => sum + count, 0));
	t.ok(existsSync(join(store.tokenizer!, 'tokenizer.json')));
	const opened = await QwenTokenizer.fromPretrained(store.tokenizer!);
	t.equal(opened.sha256, vocabulary.file.tokenizer);
	const { staticTokens, tokens, dayOffsets } = await store.split('train').timeline(0);
	t.match(opened.decode(staticTokens), /^\S.*\n\n\n$/s);
	t.match(opened.decode(tokens.subarray(0, dayOffsets[1])), /^\[\d{4}-\d\d-\d\d\]\n.*\n\n$/s);
});

t.test('training, states and surprise work on text', async (t) => {
	const store = await openTokenStore(at('text'));
	t.teardown(() => store.close());
	const shape = tinyModel;
	const losses: number[] = [];
	{
		await using trainer = await Trainer.create(at('run'), store, {
			model: shape,
			contextTokens: 200,
			futureTokens: 100,
			tokensPerStep: 600,
			steps: 3,
			tuningBatches: 1,
		});
		for await (const { loss } of trainer.run(store)) losses.push(loss);
	}
	t.equal(losses.length, 3);
	t.ok(losses.every(Number.isFinite));
	const { model } = await openModel(at('run'));
	t.teardown(() => model.close());
	const { subjectId } = await store.split('train').entry(0);
	const { times } = await store.split('train').timeline(0);
	const dates = [times[0]!, times.at(-1)!].map((predictionTime) => ({ subjectId, predictionTime }));
	const table = await embed(model, store, dates, { contextTokens: 200 });
	t.equal(table.rows, 2);
	const surprises = surpriseByDay(model, store.split('held_out'), store.vocabulary, 2000);
	for await (const days of surprises) t.ok(days.every(({ surprise }) => Number.isFinite(surprise)));
});

t.test('options that a text store cannot have are refused', async (t) => {
	const text = (more: object) => prepareStore(at('cohort'), at('no'), { tokens: { kind: 'text', tokenizer, ...more } });
	await t.rejects(text({ serialiser: { timeBins: [[30, 0]] } }), { code: 'EHR_JEPA_CONFIG', message: /timeBins/ });
	await t.rejects(text({ vocabSize: 258 }), {
		code: 'EHR_JEPA_VOCABULARY',
		message: /a row for each of the 259 tokens/,
	});
	await t.rejects(text({ bins: 4 }), { code: 'EHR_JEPA_CONFIG', message: /no option "bins"/ });
	t.notOk(existsSync(at('no')));
});

t.test('the rows of the embedding are those of Qwen, of config.json, or as asked', async (t) => {
	const qwen = await QwenTokenizer.fromPretrained(qwen3Folder);
	t.equal(await embeddingRows(qwen, undefined), 151_936);
	t.equal(qwen.vocabularySize, 151_669, 'the mask is the first unused row');
	const small = await QwenTokenizer.fromPretrained(tokenizer);
	t.equal(await embeddingRows(small, 512), 512);
	writeFileSync(at('config.json'), JSON.stringify({ vocab_size: 320 }));
	t.equal(await embeddingRows(small, undefined), 320);
});
