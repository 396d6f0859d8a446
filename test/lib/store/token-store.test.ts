import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { openTokenStore, prepareStore, Sampler } from '../../../lib/index.js';
import { indexBatches, noContexts } from '../../../lib/sample/index-windows.js';
import { temporaryFolder } from '../../fixtures/temporary-folder.js';
import { type TinyEvent, tinyPatient, writeTinyMeds } from '../../fixtures/tiny-meds.js';

async function tinyStore(t: { teardown: (run: () => void) => void }) {
	const folder = temporaryFolder(t as never);
	const subjects = Array.from({ length: 14 }, (_, i) => i + 1);
	const events: TinyEvent[] = subjects.flatMap((subject) =>
		tinyPatient(subject, subject === 14 ? [3] : [1, 4, 9, 20, 28]),
	);
	const splits = Object.fromEntries(
		subjects.map((subject) => [subject, subject === 13 ? 'tuning' : subject === 12 ? 'held_out' : 'train']),
	);
	const meds = await writeTinyMeds(join(folder, 'meds'), { '0.parquet': events }, splits);
	const manifest = await prepareStore(meds, join(folder, 'store'), { tokens: { kind: 'structured', minPatients: 2 } });
	const store = await openTokenStore(join(folder, 'store'));
	const { vocabulary } = store;
	if (vocabulary.kind !== 'structured') throw new Error('the store must be structured');
	return { folder, meds, manifest, store, vocabulary };
}

t.test('a store gives back every patient as it was', async (t) => {
	const { manifest, store, vocabulary, folder } = await tinyStore(t);
	const train = store.split('train');
	t.equal(train.size, 12);
	t.equal(manifest.splits.train.trainable, 11, 'the patient with one day is counted');
	t.equal(
		manifest.coverage.events,
		manifest.splits.train.events + manifest.splits.tuning.events + manifest.splits.held_out.events,
	);
	const words = (tokens: Int32Array) => Array.from(tokens, (token) => vocabulary.file.tokens[token]);
	const first = await train.timeline((await train.indexOf(1n))!);
	t.same(words(first.staticTokens), ['GENDER//F']);
	t.equal(first.birthDay, -3653);
	t.same(words(first.tokens.subarray(0, 4)), ['VISIT', 'GAP//1h-2h', 'LAB//X//mg', 'Q//1']);
	t.equal(words(first.tokens)[4], 'GAP//1d-3d', 'the gap belongs to the later day');
	t.equal(first.days.length, 5);
	t.equal(first.dayOffsets.at(-1), first.tokens.length);
	t.equal(first.timeOffsets.length, first.times.length + 1);
	t.equal((await store.split('held_out').timeline(0)).subjectId, 12n);
	t.equal(await train.indexOf(12n), undefined);
	t.same(readdirSync(join(folder, 'store')).sort(), [
		'held_out',
		'held_out.index.arrow',
		'manifest.json',
		'train',
		'train.index.arrow',
		'tuning',
		'tuning.index.arrow',
		'vocabulary.json',
	]);
	await store.close();
});

t.test('a batch is a function of seed and step alone', async (t) => {
	const { store } = await tinyStore(t);
	const options = {
		contextTokens: 20,
		futureTokens: 10,
		tokensPerBatch: 80,
		seed: 3,
		branches: { branch: { kind: 'masked', ratio: 0.5, span: 1 }, cuts: 1 },
	} as const;
	const sampler = () => new Sampler(store, 'train', options);
	const one = sampler();
	const batches = [await one.batch(1), await one.batch(2), await one.batch(3)];
	t.same(await sampler().batch(3), batches[2], 'in any order');
	t.not(batches[0]!.subjectIds.join(), batches[1]!.subjectIds.join());
	t.not((await new Sampler(store, 'train', { ...options, seed: 4 }).batch(1)).tokens.join(), batches[0]!.tokens.join());
	t.equal(one.excluded, 1);
	for (const { tokens, cuSeqlens, contextLengths, branches, subjectIds } of batches) {
		t.ok(tokens.length <= 80);
		t.notOk(subjectIds.includes(14n), 'a patient with one day is not drawn');
		t.same([...branches.sequences], [...contextLengths.keys()], 'a branch for each window');
		t.same(branches.cuts, contextLengths);
		for (const [i, context] of contextLengths.entries()) {
			const length = cuSeqlens[i + 1]! - cuSeqlens[i]! - context;
			const targets = branches.targets.subarray(branches.cuRows[i], branches.cuRows[i + 1]);
			t.equal(targets.length, length, 'a copy of the future');
			t.equal(targets.filter((target) => target >= 0).length, Math.max(1, Math.round(0.5 * length)));
		}
	}
	const streamed = [];
	for await (const batch of sampler().batches(1, 3)) streamed.push(batch);
	t.same(streamed, batches, 'prefetching changes nothing');
	await store.close();
});

t.test('index windows: one sequence per index date, unknown subjects are counted', async (t) => {
	const { store } = await tinyStore(t);
	const january = (day: number) => BigInt(18_262 + day - 1) * 86_400_000_000n;
	const dates = [
		{ subjectId: 1n, predictionTime: january(10) },
		{ subjectId: 999n, predictionTime: january(10) },
		{ subjectId: 12n, predictionTime: january(5) },
		// Half past eight: the laboratory value of half past nine is not known yet.
		{ subjectId: 2n, predictionTime: january(9) + 510n * 60_000_000n },
	];
	const counts = noContexts();
	const rows: number[] = [];
	for await (const { batch, ends, rows: part } of indexBatches(
		[store.split('train'), store.split('held_out')],
		store.vocabulary,
		dates,
		{
			contextTokens: 50,
			tokensPerBatch: 60,
			counts,
		},
	)) {
		t.same(ends, batch.cuSeqlens.slice(1));
		rows.push(...part.flat());
	}
	t.same(rows.sort(), [0, 2, 3]);
	t.match(counts, { withoutTokens: 1, withLaterRuns: 1, laterRuns: 1, passes: 3 });
	t.equal(counts.passTokens, counts.contextTokens, 'three patients share nothing');
	await store.close();
});

t.test('a store that was tampered with is refused', async (t) => {
	const { store, folder, vocabulary } = await tinyStore(t);
	await store.close();
	const { file } = vocabulary;
	writeFileSync(
		join(folder, 'store', 'vocabulary.json'),
		JSON.stringify({ ...file, tokens: [...file.tokens, 'EXTRA'] }),
	);
	await t.rejects(openTokenStore(join(folder, 'store')), {
		code: 'EHR_JEPA_DATA',
		message: /must be the vocabulary the store was written with/,
	});
	writeFileSync(join(folder, 'store', 'vocabulary.json'), JSON.stringify({ ...file, extra: 1 }));
	await t.rejects(openTokenStore(join(folder, 'store')), { code: 'EHR_JEPA_CONFIG', message: /no option "extra"/ });
	await t.rejects(openTokenStore(folder), { code: 'EHR_JEPA_DATA', message: /manifest\.json/ });
});
