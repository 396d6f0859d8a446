import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { openMeds } from '../../../lib/data/meds.js';
import { temporaryFolder } from '../../fixtures/temporary-folder.js';
import { tinyPatient, writeTinyMeds } from '../../fixtures/tiny-meds.js';

const good = { '0.parquet': [...tinyPatient(1, [1, 5]), ...tinyPatient(2, [2, 9])] };

t.test('a valid data set opens with its splits', async (t) => {
	const folder = await writeTinyMeds(temporaryFolder(t), good, { 1: 'train', 2: 'held_out' });
	const dataset = await openMeds(folder);
	t.same(dataset.subjects, { train: [1n], tuning: [], held_out: [2n] });
	t.equal(dataset.events, 12);
	t.match(dataset.fingerprint, /^[0-9a-f]{64}$/);
	t.equal(dataset.fingerprint, (await openMeds(folder)).fingerprint);
});

t.test('bad input: file, column, rule and value are named', async (t) => {
	const refused = async (
		name: string,
		files: Parameters<typeof writeTinyMeds>[1],
		expected: RegExp,
		splits?: Record<number, string>,
	) => {
		const folder = await writeTinyMeds(temporaryFolder(t), files, splits);
		await t.rejects(openMeds(folder), { code: 'EHR_JEPA_DATA', message: expected }, name);
	};
	await refused(
		'null subject',
		{ '0.parquet': [{ subject: null, time: null, code: 'A' }] },
		/data\/0\.parquet: column subject_id must not be null but found 1 nulls/,
	);
	await refused('null code', { '0.parquet': [{ subject: 1, time: null, code: null }] }, /column code must not be null/);
	await refused('no rows', { '0.parquet': [] }, /must hold at least one event/);
	await refused(
		'time goes backwards',
		{
			'0.parquet': [
				{ subject: 1, time: '2020-01-02', code: 'A' },
				{ subject: 1, time: '2020-01-01', code: 'B' },
			],
		},
		/column time must not go backwards within a subject but found subject 1 at row 1/,
	);
	await refused(
		'subject scattered',
		{ '0.parquet': [...tinyPatient(1, [1]), ...tinyPatient(2, [1]), ...tinyPatient(1, [2])] },
		/0\.parquet: column subject_id must hold the rows of one subject together.*subject 1 in separate runs/,
	);
	await refused(
		'subject in two files',
		{ 'a.parquet': tinyPatient(1, [1]), 'b.parquet': tinyPatient(1, [2]) },
		/a\.parquet and data\/b\.parquet: column subject_id must hold .* but found subject 1 in 2 files/,
	);
	await refused(
		'unknown splits',
		good,
		/column split must use the names train, tuning, held_out but found test, training/,
		{
			1: 'test',
			2: 'training',
		},
	);
	await t.rejects(openMeds(join(temporaryFolder(t), 'nothing')), { message: /must be a folder of parquet files/ });

	const empty = temporaryFolder(t);
	mkdirSync(join(empty, 'data'));
	await t.rejects(openMeds(empty), { message: /must hold at least one \.parquet file/ });
	writeFileSync(join(empty, 'data', '0.parquet'), '');
	await t.rejects(openMeds(empty), {
		message: /data\/0\.parquet: must be readable as a whole parquet file/,
	});
	writeFileSync(join(empty, 'data', '0.parquet'), 'not a parquet file at all');
	await t.rejects(openMeds(empty), { message: /0\.parquet: must be readable as a whole parquet file/ });
});

t.test('all-null and non-finite values are said, not hidden', async (t) => {
	const nulls = await writeTinyMeds(temporaryFolder(t), {
		'0.parquet': [{ subject: 1, time: '2020-01-01', code: 'A' }],
	});
	t.match((await openMeds(nulls)).notes.join(), /numeric_value is null in every row/);
	const folder = await writeTinyMeds(temporaryFolder(t), {
		'0.parquet': [
			{ subject: 1, time: '2020-01-01', code: 'A', value: Number.NaN },
			{ subject: 1, time: '2020-01-01', code: 'A', value: 2 },
		],
	});
	t.match((await openMeds(folder)).notes.join(), /1 values are NaN or infinite/);
});
