/** Promise: a ready label is what its file says, and what is left out is counted. */
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import t from 'tap';
import { withDatabase } from '../../lib/data/query.js';
import { copyToParquet } from '../../lib/files/duckdb-files.js';
import { buildTasks, readLabels } from '../../lib/index.js';
import { readClassLabels } from '../../lib/tasks/class-labels.js';
import { temporaryFolder } from '../fixtures/temporary-folder.js';
import { tinyPatient, writeTinyMeds } from '../fixtures/tiny-meds.js';

const folder = temporaryFolder(t);
const meds = join(folder, 'meds');
const tasks = [
	{ name: 'visit', label: 'Visit', kind: 'event' as const, codes: { exact: ['VISIT'], prefix: [] }, horizonsDays: [3] },
];
let sets = 0;

t.before(() =>
	writeTinyMeds(
		meds,
		{
			'train/0.parquet': [...tinyPatient(1, [2, 4, 6, 8]), ...tinyPatient(2, [2, 4, 6, 8])],
			'1.parquet': tinyPatient(3, [2, 4, 6]),
		},
		{ 1: 'train', 2: 'train', 3: 'other' },
	),
);

const day = (n: number) => `TIMESTAMP '2020-01-0${n} 12:00:00'`;
const label = (subject: number, n: number, value: string) => `(${subject}::BIGINT, ${day(n)}, ${value})`;
const rows = (...values: string[]) =>
	`SELECT * FROM (VALUES ${values.join(', ')}) AS l(subject_id, prediction_time, boolean_value)`;

/** Writes label files by their path, and builds tasks with them. */
async function built(files: Record<string, string>) {
	const root = join(folder, `labels-${++sets}`);
	await withDatabase({ threads: 1 }, async (database) => {
		for (const [name, select] of Object.entries(files)) {
			const path = join(root, name);
			await mkdir(dirname(path), { recursive: true });
			await database.run(copyToParquet(select, path));
		}
	});
	const out = join(folder, `tasks-${sets}`);
	const list = await buildTasks(meds, out, { tasks, externalLabels: root });
	return { out, root, classes: list.classes, ready: list.tasks.filter(({ horizonDays }) => horizonDays === null) };
}
const yes = rows(label(1, 5, 'true'), label(2, 5, 'false'));
const no = rows(label(1, 5, 'false'), label(2, 5, 'true'));

t.test('each folder with files is a task, whatever the shards', async (t) => {
	const { out, ready } = await built({
		'mortality/in_icu/0.parquet': yes,
		'mortality/in_hospital/0.parquet': no,
		'mortality/0.parquet': yes,
		'long_stay/train/0.parquet': yes,
		'long_stay/held_out/1.parquet': rows(label(1, 7, 'true')),
		'subject_id=7/0.parquet': yes,
		'alone.parquet': no,
	});
	t.same(
		ready.map(({ name, samples, positives }) => [name, samples, positives]),
		[
			['external/alone', 2, 1],
			['external/long_stay', 3, 2],
			['external/mortality', 2, 1],
			['external/mortality/in_hospital', 2, 1],
			['external/mortality/in_icu', 2, 1],
			['external/subject_id=7', 2, 1],
		],
	);
	for (const { directory, samples } of ready)
		t.equal((await readLabels(join(out, directory))).length, samples, directory);
});

t.test('the folder of one task may be given itself', async (t) => {
	const { root } = await built({ 'mortality/train/0.parquet': yes });
	const out = join(folder, 'one');
	const list = await buildTasks(meds, out, { tasks, externalLabels: join(root, 'mortality') });
	t.equal(list.tasks.at(-1)!.name, 'external/mortality');
});

t.test('what is left out is counted: nulls, copies, subjects in no split or without events', async (t) => {
	const { ready } = await built({
		'a/0.parquet': rows(
			label(1, 5, 'true'),
			label(1, 5, 'true'),
			label(2, 5, 'NULL'),
			label(2, 7, 'false'),
			label(3, 5, 'true'),
			label(9, 5, 'true'),
		),
	});
	t.match(ready[0], {
		samples: 2,
		positives: 1,
		excluded: { unlabelled: 1, repeated: 1, withoutSplit: 1, withoutEvents: 1 },
	});
});

t.test('other schemas, contradictions and empty sets are refused, with file and column', async (t) => {
	const refused = (files: Record<string, string>, message: RegExp) =>
		t.rejects(built(files), { code: 'EHR_JEPA_DATA', message }, String(message));
	for (const value of ['0.4::DOUBLE', '3', '1', "'true'", '1::TINYINT'])
		await refused(
			{ 'a/0.parquet': rows(label(1, 5, value)) },
			/a\/0\.parquet: column boolean_value must have type bool/,
		);
	await refused({ 'a/0.parquet': rows(label(1, 5, 'NULL::BOOLEAN')) }, /at least one label.*1 rows, each null/);
	await refused({ 'a/0.parquet': `${yes} WHERE false` }, /at least one label.*no rows/);
	await refused(
		{ 'a/0.parquet': rows(label(1, 5, 'true')), 'a/1.parquet': rows(label(1, 5, 'false')) },
		/one thing about a subject at a time.*subject 1 at 2020-01-05.*row 0 and false in row 0 of .*1\.parquet/,
	);
	await refused(
		{ 'a/0.parquet': rows(`(NULL::BIGINT, ${day(5)}, true)`) },
		/column subject_id must not be null.*row 0/,
	);
	await refused(
		{ 'a/0.parquet': rows('(1::BIGINT, NULL::TIMESTAMP, true)') },
		/column prediction_time must not be null/,
	);
	await refused(
		{ 'a/0.parquet': `SELECT subject_id, prediction_time FROM (${yes})` },
		/column boolean_value must be there/,
	);
	await refused({ 'a/0.parquet': `SELECT *, 1 AS fold FROM (${yes})` }, /column fold must not be there/);
	await refused(
		{ 'a/0.parquet': `SELECT * REPLACE (subject_id::DOUBLE AS subject_id) FROM (${yes})` },
		/column subject_id/,
	);
	await refused({ 'a/0.parquet': rows(label(9, 5, 'true')) }, /must label subjects of this data set/);
	await t.rejects(buildTasks(meds, join(folder, 'none'), { tasks, externalLabels: join(folder, 'absent') }), {
		message: /must be a folder of label sets/,
	});
});

t.test('classes are read where no file of a set says yes or no, as strictly', async (t) => {
	const stages = (more = '') => `SELECT * EXCLUDE boolean_value, subject_id + 8 AS integer_value${more} FROM (${yes})`;
	for (const select of [
		stages(),
		stages(', NULL::BOOLEAN AS boolean_value, NULL::VARCHAR AS categorical_value'),
		`SELECT * EXCLUDE boolean_value, (subject_id + 8)::VARCHAR AS categorical_value FROM (${yes})`,
	]) {
		const { ready, classes, out } = await built({
			'stage/train/0.parquet': select,
			'stage/train/1.parquet': `SELECT * FROM (${select}) UNION ALL SELECT * REPLACE (9 + subject_id AS subject_id) FROM (${select})`,
		});
		t.same(ready, []);
		t.match(classes, [
			{
				name: 'external/stage',
				samples: 2,
				patients: 2,
				classes: [
					{ name: '9', samples: 1 },
					{ name: '10', samples: 1 },
				],
				excluded: { unlabelled: 0, repeated: 2, withoutSplit: 0, withoutEvents: 2 },
			},
		]);
		t.equal((await readClassLabels([join(out, 'external/stage/0.parquet')])).labels.length, 2);
	}
	const refused = (files: Record<string, string>, message: RegExp) =>
		t.rejects(built(files), { code: 'EHR_JEPA_DATA', message }, String(message));
	const other = `SELECT * REPLACE (integer_value + 1 AS integer_value) FROM (${stages()})`;
	await refused({ 'a/0.parquet': stages(), 'a/1.parquet': other }, /one thing about a subject at a time/);
	await refused(
		{ 'a/0.parquet': stages(), 'a/1.parquet': yes },
		/column boolean_value must be there.*from a set in which/,
	);
	await refused({ 'a/0.parquet': stages(", 'x' AS categorical_value") }, /must be one of both.*labels in both/);
	await refused({ 'a/0.parquet': stages(', 3 AS note') }, /column note must not be there/);
	await refused(
		{ 'a/0.parquet': `SELECT * REPLACE (0.5 AS integer_value) FROM (${stages()})` },
		/a text or a whole number/,
	);
	const capitals =
		"SELECT * REPLACE (NULL::BIGINT AS integer_value), 'a' || CASE WHEN subject_id % 2 = 0 THEN 'X' ELSE 'x' END AS categorical_value";
	await refused({ 'a/0.parquet': `${capitals} FROM (${stages()})` }, /by more than their capitals.*2 names, 1 without/);
	const many = Array.from({ length: 101 }, (_, n) => `(1::BIGINT, ${day(5)} + to_days(${n}), ${n}::BIGINT)`);
	await refused(
		{ 'a/0.parquet': `SELECT * FROM (VALUES ${many.join(', ')}) AS l(subject_id, prediction_time, integer_value)` },
		/at most 100 classes.*101/,
	);
});
