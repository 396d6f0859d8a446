/** Promise: splits are decided once, by the data alone, and every command has the same. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { buildTasks, openMeds, prepareStore, readIndexDates, readTaskList } from '../../lib/index.js';
import { splits } from '../../lib/types.js';
import { temporaryFolder } from '../fixtures/temporary-folder.js';
import { tinyPatient, writeTinyMeds } from '../fixtures/tiny-meds.js';

const days = [2, 4, 6, 8, 10, 12];
const patients = (...subjects: number[]) => subjects.flatMap((subject) => tinyPatient(subject, days));
const many = Array.from({ length: 40 }, (_, i) => i + 1);
const tasks = [
	{ name: 'visit', label: 'Visit', kind: 'event' as const, codes: { exact: ['VISIT'], prefix: [] }, horizonsDays: [3] },
];

t.test(
	'without a file and folders, a hash of the subject decides, whatever the seed and the other subjects',
	async (t) => {
		const folder = temporaryFolder(t);
		const meds = await writeTinyMeds(join(folder, 'meds'), { '0.parquet': patients(...many) });
		const { subjects, splits: decided, notes } = await openMeds(meds);
		t.equal(decided.source, 'hash');
		t.match(notes.join(), /splits follow from a hash of subject_id/);
		const manifest = await prepareStore(meds, join(folder, 'store'), { threads: 2 });
		t.same(manifest.splitting, decided);
		for (const seed of [1, 2]) {
			const out = join(folder, `tasks-${seed}`);
			t.same((await buildTasks(meds, out, { tasks, seed })).splitting, decided);
			for (const { subjectId, split } of await readIndexDates(out)) t.ok(subjects[split].includes(subjectId));
		}
		const fewer = await openMeds(
			await writeTinyMeds(join(folder, 'fewer'), { '0.parquet': patients(...many.slice(0, 9)) }),
		);
		for (const split of splits) {
			t.same(
				fewer.subjects[split],
				subjects[split].filter((id) => id <= 9n),
				`${split}: other subjects do not move them`,
			);
		}
	},
);

t.test('folders called as splits decide where there is no file', async (t) => {
	for (const [name, place] of [
		['first', (split: string) => `${split}/0.parquet`],
		['below a site', (split: string) => `site/${split}/shard/0.parquet`],
	] as const) {
		const folder = temporaryFolder(t);
		const meds = await writeTinyMeds(join(folder, 'meds'), {
			[place('train')]: patients(5, 6, 7, 8, 9),
			[place('tuning')]: patients(3),
			[place('held_out')]: patients(1, 2),
		});
		const { subjects, splits: decided, notes } = await openMeds(meds);
		t.same(subjects, { train: [5n, 6n, 7n, 8n, 9n], tuning: [3n], held_out: [1n, 2n] }, name);
		t.equal(decided.source, 'folders');
		t.match(notes.join(), /splits are those of the folders train, tuning, held_out/);
		t.same((await prepareStore(meds, join(folder, 'store'), { threads: 1 })).splitting, decided);
		await buildTasks(meds, join(folder, 'tasks'), { tasks });
		t.same((await readTaskList(join(folder, 'tasks'))).splitting, decided);
	}
});

t.test('a file outside the split folders is in no split, and counted', async (t) => {
	const files = { 'train/0.parquet': patients(1, 2), 'more/0.parquet': patients(3, 4, 5) };
	const { subjects, notes } = await openMeds(await writeTinyMeds(temporaryFolder(t), files));
	t.same(subjects, { train: [1n, 2n], tuning: [], held_out: [] });
	t.match(notes.join(), /1 files in no such folder.*data\/more\/0\.parquet/);
	t.match(notes.join(), /3 subjects with events are in no split/);
});

t.test('a subject in the folders of two splits, and a file in two, are refused', async (t) => {
	const refused = async (files: Parameters<typeof writeTinyMeds>[1], message: RegExp) => {
		const folder = temporaryFolder(t);
		const meds = await writeTinyMeds(join(folder, 'meds'), files);
		await t.rejects(openMeds(meds), { code: 'EHR_JEPA_DATA', message });
		await t.rejects(prepareStore(meds, join(folder, 'store'), { threads: 1 }), { code: 'EHR_JEPA_DATA' });
	};
	await refused({ 'train/0.parquet': patients(1), 'held_out/0.parquet': patients(1) }, /rows of one subject together/);
	await refused({ 'train/held_out/0.parquet': patients(1) }, /folder of one split/);
});

t.test('the file decides before the folders, and another file makes another store', async (t) => {
	const folder = temporaryFolder(t);
	const files = { 'tuning/0.parquet': patients(1, 2, 3), 'train/0.parquet': patients(4, 5) };
	const as = (split: string) => ({ 1: split, 2: 'train', 3: 'train', 4: 'train', 5: 'train' });
	const meds = await writeTinyMeds(join(folder, 'meds'), files, as('held_out'));
	t.same((await openMeds(meds)).subjects.held_out, [1n]);
	const one = await prepareStore(meds, join(folder, 'one'), { threads: 1 });
	t.equal(one.splitting.source, 'file');
	await rm(join(meds, 'metadata'), { recursive: true });
	await writeTinyMeds(meds, {}, as('tuning'));
	const two = await prepareStore(meds, join(folder, 'two'), { threads: 1 });
	t.not(two.splitting.fingerprint, one.splitting.fingerprint);
	t.not(two.fingerprint, one.fingerprint, 'runs are made with data, splits and vocabulary');
});

t.test('an empty train is refused by the name of what decides', async (t) => {
	const folder = temporaryFolder(t);
	const meds = await writeTinyMeds(join(folder, 'meds'), { 'held_out/0.parquet': patients(1, 2) });
	await t.rejects(prepareStore(meds, join(folder, 'store'), { threads: 1 }), {
		file: 'data',
		message: /at least one subject with events in train.*data\/train/,
	});
});
