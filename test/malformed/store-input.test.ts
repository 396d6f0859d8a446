import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { openTokenStore, prepareStore } from '../../lib/index.js';
import { writeManyMeds } from '../fixtures/many-meds.js';
import { temporaryFolder } from '../fixtures/temporary-folder.js';
import { type TinyEvent, tinyPatient, writeTinyMeds } from '../fixtures/tiny-meds.js';

const folder = temporaryFolder(t);
const at = (name: string) => join(folder, name);
const options = { tokens: { kind: 'structured', minPatients: 1 } } as const;

t.test('a split without patients is an empty split; without training patients there is no store', async (t) => {
	const events = [1, 2, 3].flatMap((subject) => tinyPatient(subject, [1, 5]));
	await writeTinyMeds(at('two'), { '0.parquet': events }, { 1: 'train', 2: 'train', 3: 'held_out', 9: 'tuning' });
	const manifest = await prepareStore(at('two'), at('two-store'), options);
	t.equal(manifest.splits.tuning.patients, 0);
	t.match(manifest.notes.join(), /1 subjects of subject_splits.parquet have no events/);
	const store = await openTokenStore(at('two-store'));
	t.equal(store.split('tuning').size, 0);
	t.equal(await store.split('tuning').indexOf(1n), undefined);
	t.same([...store.split('tuning').dayCounts], []);
	await store.close();
	await writeTinyMeds(at('none'), { '0.parquet': events }, { 1: 'tuning', 2: 'tuning', 3: 'held_out' });
	await t.rejects(prepareStore(at('none'), at('none-store'), options), {
		code: 'EHR_JEPA_DATA',
		message: /at least one subject with events in train/,
	});
	t.notOk(existsSync(at('none-store')) || existsSync(at('.none-store.partial')));
});

t.test('subjects in no split are counted', async (t) => {
	const events = [1, 2, 3].flatMap((subject) => tinyPatient(subject, [1, 5]));
	await writeTinyMeds(at('outside'), { '0.parquet': events }, { 1: 'train', 2: 'train' });
	const { cohortFlow, notes } = await prepareStore(at('outside'), at('outside-store'), options);
	t.match(cohortFlow[0], { patients: 3, events: 18, note: /6 events of 1 subjects/ });
	t.match(notes.join(), /1 subjects with events are in no split/);
});

t.test('rows that break a rule of MEDS are typed errors', async (t) => {
	const good = tinyPatient(1, [1, 5]);
	const cases: [string, Readonly<Record<string, readonly TinyEvent[]>>, RegExp][] = [
		['null-code', { '0.parquet': [...good, { subject: 2, time: null, code: null }] }, /column code must not be null/],
		[
			'null-subject',
			{ '0.parquet': [{ subject: null, time: null, code: 'X' }, ...good] },
			/subject_id must not be null/,
		],
		[
			'backwards',
			{ '0.parquet': [...good, { subject: 1, time: '2019-01-01 00:00:00', code: 'X' }] },
			/not go backwards/,
		],
		['two-files', { '0.parquet': good, '1.parquet': good }, /not go backwards|rows of one subject together/],
		[
			'apart',
			{ '0.parquet': [...good, ...tinyPatient(2, [1]), ...tinyPatient(1, [9])] },
			/rows of one subject together/,
		],
	];
	for (const [name, files, message] of cases) {
		await writeTinyMeds(at(name), files, { 1: 'train', 2: 'train' });
		await t.rejects(prepareStore(at(name), at(`${name}-store`), options), { code: 'EHR_JEPA_DATA', message }, name);
	}
	t.notOk(
		readdirSync(folder).some((name) => name.includes('partial')),
		'nothing is left',
	);
});

t.test('a shard that is deleted midway is named', async (t) => {
	await writeManyMeds(at('many'), { shards: 3, subjectsPerShard: 50, eventsPerSubject: 2500 });
	let gone = false;
	const running = prepareStore(
		at('many'),
		at('many-store'),
		{ threads: 1 },
		{
			onProgress: ({ stage }) => {
				if (stage !== 'tokenise' || gone) return;
				gone = true;
				rmSync(at('many/data/2.parquet'));
			},
		},
	);
	await t.rejects(running, { code: 'EHR_JEPA_DATA', message: /2\.parquet: must stay readable until prepare ends/ });
	t.notOk(existsSync(at('many-store')));
});

t.test('a patient of a million events is one patient', async (t) => {
	await writeManyMeds(at('long'), { shards: 1, subjectsPerShard: 2, eventsPerSubject: 1_000_000 });
	const { splits } = await prepareStore(at('long'), at('long-store'), options);
	t.equal(splits.train.events, 2_000_000);
	const store = await openTokenStore(at('long-store'));
	const { tokens, days, dayOffsets } = await store.split('train').timeline(1);
	t.ok(tokens.length > 1_000_000 && dayOffsets.at(-1) === tokens.length && days.length > 20_000);
	await store.close();
});

t.test('values in another unit than the usual one are not binned, and counted', async (t) => {
	const { withDatabase, quoted } = await import('../../lib/data/query.js');
	const events = [1, 2, 3].flatMap((subject) => tinyPatient(subject, [1, 5, 9]));
	await writeTinyMeds(at('units'), { '0.parquet': events }, { 1: 'train', 2: 'train', 3: 'held_out' });
	await withDatabase({ threads: 1 }, async (database) => {
		const file = at('units/data/0.parquet');
		await database.run(
			`COPY (SELECT *, CASE WHEN numeric_value IS NULL THEN NULL WHEN subject_id = 3 THEN 'g' WHEN numeric_value = 2 THEN NULL ELSE 'mg' END AS unit
			FROM read_parquet(${quoted(file)})) TO ${quoted(at('units.parquet'))} (FORMAT parquet)`,
		);
		await database.run(
			`COPY (SELECT * FROM read_parquet(${quoted(at('units.parquet'))})) TO ${quoted(file)} (FORMAT parquet)`,
		);
	});
	const { coverage } = await prepareStore(at('units'), at('units-store'), options);
	t.match(coverage, { kind: 'structured', valuesBinned: 6, valuesInOtherUnit: 3 });
	const store = await openTokenStore(at('units-store'));
	t.same(store.vocabulary.kind === 'structured' && store.vocabulary.file.units, { 'LAB//X//mg': 'mg' });
	await store.close();
});
