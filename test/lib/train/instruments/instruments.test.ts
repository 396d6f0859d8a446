import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { LifeCodes } from '../../../../lib/data/life-codes.js';
import { openTokenStore, prepareStore, simulateCohort, type TrainConfigInput, Trainer } from '../../../../lib/index.js';
import { readTrueStates, trueStatesFile } from '../../../../lib/store/true-states.js';
import { tokenKinds } from '../../../../lib/tokenizer/token-kinds.js';
import type { Vocabulary } from '../../../../lib/tokenizer/vocabulary.js';
import { Instruments } from '../../../../lib/train/instruments/instruments.js';
import { InstrumentOptions, isReadingDue, readingTokens } from '../../../../lib/train/instruments/options.js';
import { drawWindows } from '../../../../lib/train/instruments/windows.js';
import { temporaryFolder } from '../../../fixtures/temporary-folder.js';

const folder = await temporaryFolder(t);
await simulateCohort(join(folder, 'cohort'), { patients: 200, seed: 5, minYears: 2, maxYears: 3 });
await prepareStore(join(folder, 'cohort'), join(folder, 'store'));
const store = await openTokenStore(join(folder, 'store'));
t.teardown(() => store.close());

const tiny: TrainConfigInput = {
	model: {
		hiddenSize: 16,
		intermediateSize: 32,
		numHiddenLayers: 1,
		numAttentionHeads: 2,
		numKeyValueHeads: 1,
		headDim: 8,
	},
	objective: { latent: null },
	contextTokens: 64,
	futureTokens: 32,
	tokensPerStep: 512,
	steps: 8,
	optimizer: { learningRate: 3e-3 },
	threads: 1,
	tuningEvery: 0,
	tuningBatches: 1,
};
const generous = { readings: 2, tokens: 4096, share: 1 };

t.test('each token has one kind, decided from the vocabulary', async (t) => {
	const vocabulary = store.vocabulary as Vocabulary;
	const kinds = tokenKinds(vocabulary, new LifeCodes());
	t.equal(kinds.length, vocabulary.size);
	const kindOf = (token: string) => kinds[vocabulary.file.tokens.indexOf(token)];
	t.same(
		{
			'Q//3': kindOf('Q//3'),
			'LAB//HBA1C//%': kindOf('LAB//HBA1C//%'),
			'GAP//1d-3d': kindOf('GAP//1d-3d'),
			'DIAGNOSIS//ICD10CM//I10': kindOf('DIAGNOSIS//ICD10CM//I10'),
			'MEDICATION//START//METFORMIN': kindOf('MEDICATION//START//METFORMIN'),
			MEDS_DEATH: kindOf('MEDS_DEATH'),
			'GENDER//F': kindOf('GENDER//F'),
			'[UNK]': kindOf('[UNK]'),
			'VISIT//OUTPATIENT': kindOf('VISIT//OUTPATIENT'),
		},
		{
			'Q//3': 'value',
			'LAB//HBA1C//%': 'code',
			'GAP//1d-3d': 'gap',
			'DIAGNOSIS//ICD10CM//I10': 'diagnosis',
			'MEDICATION//START//METFORMIN': 'drug',
			MEDS_DEATH: 'death',
			'GENDER//F': 'other',
			'[UNK]': 'other',
			'VISIT//OUTPATIENT': 'code',
		},
	);
});

t.test('readings are the log-probabilities of the same futures, by kind', async (t) => {
	await using trainer = await Trainer.create(join(folder, 'read'), store, { ...tiny, instruments: generous });
	for await (const _ of trainer.run(store));
	const lines = (await trainer.folder.metrics()).filter((line) => line.kind === 'instruments');
	t.same(
		lines.map(({ step }) => step),
		[0, 4, 8],
	);
	t.same(trainer.lastInstruments, lines.at(-1));
	const last = lines.at(-1)!;
	t.ok(last.losses!.value!.loss < lines[0]!.losses!.value!.loss);
	t.same(last.valueReferences, lines[0]!.valueReferences);
	const { byCode, byPrevious, linear } = last.valueReferences!;
	t.ok(byCode > byPrevious && byPrevious > linear - 0.01, JSON.stringify(last.valueReferences));
	t.ok(last.state!.patients >= 20);
	t.ok(last.state!.values! > 0.3, 'values of each test tell of the state');

	const windows = await drawWindows(store.split('tuning'), store.vocabulary, trainer.config, 4096);
	t.equal(windows.length, last.patients);
	t.equal(new Set(windows.map(({ subjectId }) => subjectId)).size, windows.length, 'one window a patient');
	let [tokens, loss] = [0, 0];
	for (const window of windows) {
		const positionIds = Int32Array.from(window.tokens, (_, i) => i);
		const cuSeqlens = Int32Array.of(0, window.tokens.length);
		const { logProbabilities } = await trainer.model.score({ tokens: window.tokens, cuSeqlens, positionIds });
		for (const one of logProbabilities.subarray(window.contextLength - 1)) {
			tokens++;
			loss -= one;
		}
	}
	t.equal(last.tokens, tokens);
	const kinds = Object.values(last.losses!);
	t.equal(
		kinds.reduce((sum, kind) => sum + kind!.tokens, 0),
		tokens,
		'no token without a kind',
	);
	const all = kinds.reduce((sum, kind) => sum + kind!.tokens * kind!.loss, 0);
	t.ok(Math.abs(all - loss) < 1e-3 * loss, `${all} nats in all, ${loss} window by window`);
});

t.test('instruments change nothing of the training, and null switches them off', async (t) => {
	const weights = async (name: string, instruments: TrainConfigInput['instruments']) => {
		await using trainer = await Trainer.create(join(folder, name), store, { ...tiny, instruments });
		for await (const _ of trainer.run(store));
		const lines = (await trainer.folder.metrics()).filter((line) => line.kind === 'instruments');
		const [checkpoint] = await trainer.folder.checkpoints();
		return { lines: lines.length, bytes: await readFile(join(checkpoint!.directory, 'encoder.safetensors')) };
	};
	const off = await weights('off', null);
	const on = await weights('on', generous);
	t.same([off.lines, on.lines], [0, 3]);
	t.ok(off.bytes.equals(on.bytes), 'the same weights');
});

t.test('a resumed run does not read twice', async (t) => {
	const run = join(folder, 'resumed');
	const config = { ...tiny, instruments: generous, checkpointEvery: 1 };
	{
		await using trainer = await Trainer.create(run, store, config);
		for await (const { step } of trainer.run(store)) if (step === 5) break;
	}
	await using trainer = await Trainer.resume(run, store);
	for await (const _ of trainer.run(store));
	const lines = (await trainer.folder.metrics()).filter((line) => line.kind === 'instruments');
	t.same(
		lines.map(({ step }) => step),
		[0, 4, 8],
	);
	const straight = await Instruments.open(store, trainer.config, trainer.model, 4096);
	const { readMs: _, ...again } = await straight!.read(trainer.model, 8);
	const { readMs: __, ...last } = lines.at(-1)!;
	t.same(last, again, 'the same weights give the same reading');
});

t.test('they cost a share of the training at most', async (t) => {
	const run = { contextTokens: 192, futureTokens: 96, microBatches: 1, tokensPerStep: 4096, steps: 400 };
	const instruments = InstrumentOptions.parse({});
	const tokens = readingTokens({ ...run, instruments });
	t.ok((instruments.readings + 1) * tokens <= 0.02 * 3 * 400 * 4096);
	t.ok(tokens >= 16 * 288);
	t.equal(readingTokens({ ...run, instruments: null }), 0);
	t.equal(readingTokens({ ...run, steps: 8, instruments }), 0, 'a run that they would slow has none');
	t.equal(readingTokens({ ...run, steps: 1e6, instruments }), instruments.tokens);
	const due = Array.from({ length: 12 }, (_, i) => i + 1).filter((step) =>
		isReadingDue({ ...run, steps: 10, instruments }, step, 12),
	);
	t.same(due, [3, 6, 9, 12], 'an extended run goes on, and ends with one');
});

t.test('the state is read where it is known, and only there', async (t) => {
	const windows = await drawWindows(
		store.split('tuning'),
		store.vocabulary,
		{ contextTokens: 64, futureTokens: 32 },
		500,
	);
	const wanted = windows.map(({ subjectId, contextDate }) => ({ subjectId, day: contextDate }));
	const found = await readTrueStates(store.directory, [...wanted, { subjectId: 1_000_000n, day: 16_000 }]);
	t.same(found!.axes, ['metabolic', 'cardiovascular', 'renal', 'respiratory', 'neoplastic']);
	t.ok(found!.states.slice(0, -1).every((state) => state?.length === 5));
	t.equal(found!.states.at(-1), undefined);
	await rm(join(store.directory, trueStatesFile));
	t.equal(await readTrueStates(store.directory, wanted), undefined);
	await using trainer = await Trainer.create(join(folder, 'unknown'), store, { ...tiny, instruments: generous });
	for await (const _ of trainer.run(store));
	t.equal(trainer.lastInstruments!.state, undefined);
	t.ok(trainer.lastInstruments!.losses!.value!.tokens > 0);
});
