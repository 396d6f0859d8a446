/** Promise: what is not read is said: near-misses of columns, ids that cannot be read, hidden labels; units keep their size. */
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { withDatabase } from '../../lib/data/query.js';
import { copyToParquet } from '../../lib/files/duckdb-files.js';
import { buildTasks, importOmop, openMeds, prepareStore } from '../../lib/index.js';
import { unitSpelling } from '../../lib/tokenizer/unit-spelling.js';
import { medsRows } from '../fixtures/meds-rows.js';
import { temporaryFolder } from '../fixtures/temporary-folder.js';
import { tinyPatient, writeTinyMeds } from '../fixtures/tiny-meds.js';
import { measurement, type OmopRows, tinyOmop, writeOmopCsv } from '../fixtures/tiny-omop.js';

const folder = temporaryFolder(t);
const { person, concept } = tinyOmop() as { person: OmopRows; concept: OmopRows };

t.test('columns like those that are read are named once a table', async (t) => {
	const cdm = writeOmopCsv(join(folder, 'near'), {
		person,
		concept,
		measurement: [
			measurement({
				value_as_numbr: 5,
				unit_source: 'mg',
				unit_source_value: 'g',
				measurement_type_concept_id: 1,
				time: '10:00',
				measurement_time: '10:00',
			}),
		],
	});
	const { notes } = await importOmop(cdm, join(folder, 'near-meds'), { threads: 1 });
	t.same(
		notes.filter((note) => note.includes('not read')),
		[
			'measurement: columns that are not read, with names like those that are: value_as_numbr, unit_source, time, measurement_time',
		],
	);
	const meds = join(folder, 'meds');
	mkdirSync(join(meds, 'data'), { recursive: true });
	const events = (more: string) =>
		withDatabase({ threads: 1 }, (database) =>
			database.run(
				copyToParquet(
					`SELECT 1::BIGINT AS subject_id, TIMESTAMP '2020-01-01' AS time, 'A' AS code, 1::FLOAT AS numeric_value, 'g' AS unit${more}`,
					join(meds, 'data/0.parquet'),
				),
			),
		);
	await events(", 'mg' AS unit_source, 'x' AS text, 7 AS hadm_id");
	t.match((await openMeds(meds)).notes.join('\n'), /not read, with names like those that are: text, unit_source$/m);
	await events(", 1 AS timestamp, 2 AS charttime, 'x' AS code_system, 'x' AS uom, 1.0 AS valuenum, 3 AS hadm_id");
	t.match(
		(await openMeds(meds)).notes.join('\n'),
		/names like those that are: code_system, timestamp, uom, valuenum$/m,
	);
	await events(', 7 AS hadm_id');
	t.notMatch((await openMeds(meds)).notes.join('\n'), /not read/);
});

t.test('bounds, words for none and codes of floats', async (t) => {
	const value = (text: string, unit: string) =>
		measurement({ value_as_number: 6, value_source_value: text, unit_source_value: unit });
	const cdm = writeOmopCsv(join(folder, 'values'), {
		person,
		concept,
		measurement: [value('>6', 'NA'), value('<6', 'N/A'), value('6', 'g')],
		condition_occurrence: ['1e+05', '123456', '2e+05'].map((condition_source_value) => ({
			person_id: 1,
			condition_concept_id: 0,
			condition_start_date: '2020-01-01',
			condition_source_value,
		})),
		concept_relationship: [
			{ concept_id_1: '100', relationship_id: 'Maps to', concept_id_2: '101', invalid_reason: null },
			{ concept_id_1: '100.5', relationship_id: 'Maps to', concept_id_2: '101', invalid_reason: null },
		],
	});
	const out = join(folder, 'values-meds');
	const report = await importOmop(cdm, out, { threads: 1 });
	t.match(
		report.tables.find(({ table }) => table === 'measurement'),
		{ rowsOut: 3, remarks: { comparison: 2, 'missing-word': 2 } },
	);
	const rows = JSON.stringify(await medsRows(out), (_, item) => (typeof item === 'bigint' ? String(item) : item));
	for (const bound of ['">6"', '"<6"']) t.ok(rows.includes(bound), bound);
	for (const code of ['condition/100000', 'condition/123456', 'condition/200000'])
		t.ok(rows.includes(`"${code}"`), code);
	t.match(report.notes.join('\n'), /concept_relationship: 1 rows have an id that is no whole number/);
});

t.test('spellings of a unit are one; units of another size are not', (t) => {
	const same = [
		['g/dL', 'g/dl', 'G/DL', ' g / dL '],
		['µg', 'μg', 'ug'],
	];
	for (const [first, ...others] of same)
		for (const other of others) t.equal(unitSpelling(other), unitSpelling(first!), other);
	for (const [small, large] of [
		['mg', 'Mg'],
		['mmol', 'Mmol'],
		['pg', 'Pg'],
	] as const)
		t.not(unitSpelling(small), unitSpelling(large), `${small} and ${large}`);
	t.end();
});

t.test('hidden label files are not read, and it is said', async (t) => {
	const meds = join(folder, 'labelled');
	await writeTinyMeds(
		meds,
		{ '0.parquet': [...tinyPatient(1, [2, 4, 6, 8]), ...tinyPatient(2, [2, 4, 6, 8])] },
		{ 1: 'train', 2: 'train' },
	);
	const labels = join(folder, 'labels/stay');
	mkdirSync(join(labels, '.ipynb_checkpoints'), { recursive: true });
	await withDatabase({ threads: 1 }, (database) =>
		database.run(
			copyToParquet(
				"SELECT 1::BIGINT AS subject_id, TIMESTAMP '2020-01-05' AS prediction_time, true AS boolean_value",
				join(labels, '0.parquet'),
			),
		),
	);
	cpSync(join(labels, '0.parquet'), join(labels, '.ipynb_checkpoints/0.parquet'));
	const visit = {
		name: 'visit',
		label: 'Visit',
		kind: 'event' as const,
		codes: { exact: ['VISIT'], prefix: [] },
		horizonsDays: [3],
	};
	const list = await buildTasks(meds, join(folder, 'tasks'), {
		tasks: [visit],
		externalLabels: join(folder, 'labels'),
	});
	t.equal(list.tasks.at(-1)!.samples, 1);
	t.match(list.notes.join('\n'), /^labels: 1 hidden file is not read/m);
});

t.test(
	'cells separated by spaces are read where each line has all of them, else refused with the way to export them',
	async (t) => {
		const cdm = writeOmopCsv(join(folder, 'blanks'), { concept });
		// R's write.table with its defaults: the names of rows have no name.
		writeFileSync(join(cdm, 'PERSON.csv'), '"person_id" "year_of_birth"\n"1" 1 1950\n');
		await t.rejects(importOmop(cdm, join(folder, 'blanks-meds'), { threads: 1 }), {
			code: 'EHR_JEPA_DATA',
			message:
				/PERSON\.csv: must have as many cells in each line as in the header.* 3 cells in line 2 and 2 names; .*write\.csv/,
		});
		const text = '"person_id" "birth_datetime" "gender_source_value"\n1 "1950-02-03 04:05:06" "not said"\n2 NA "M"\n';
		writeFileSync(join(cdm, 'PERSON.csv'), text);
		const report = await importOmop(cdm, join(folder, 'blanks-meds'), { threads: 1, maxDropped: 1 });
		t.match(report, { persons: 2, csv: { person: ['spaces, text in quotes, utf-8'] } });
		const births = (await medsRows(join(folder, 'blanks-meds'))).filter(({ code }) => code === 'MEDS_BIRTH');
		t.match(births, [{ time: '1950-02-03 04:05:06' }]);
	},
);

t.test('a unit of blanks alone is no unit', async (t) => {
	const stores = [];
	for (const unit of ['NULL::VARCHAR', "''", "'  '", 'chr(9)', 'chr(160)']) {
		const meds = join(folder, `blank unit ${stores.length}`);
		await writeTinyMeds(meds, { '0.parquet': [] }, { 1: 'train' });
		const rows = `SELECT 1::BIGINT AS subject_id, TIMESTAMP '2020-01-01' + INTERVAL (i) HOUR AS time, 'LAB' AS code, i::FLOAT AS numeric_value,
			CASE WHEN i % 2 = 0 THEN ${unit} END AS unit FROM range(40) AS r(i)`;
		await withDatabase({ threads: 1 }, (database) => database.run(copyToParquet(rows, join(meds, 'data/0.parquet'))));
		const options = { tokens: { kind: 'structured', minPatients: 1 }, threads: 1 } as const;
		const { coverage, vocabulary, notes } = await prepareStore(meds, join(folder, `store ${stores.length}`), options);
		stores.push({ coverage, fingerprint: vocabulary.fingerprint, notes });
	}
	for (const store of stores) t.same(store, stores[0]);
	t.match(stores[0], { coverage: { valuesBinned: 40, valuesInOtherUnit: 0 } });
});

t.test('a code of blanks alone stays, and is counted', async (t) => {
	const meds = join(folder, 'blank codes');
	const events = ['', '  ', 'NA', 'LAB'].map((code) => ({ subject: 1, time: '2020-01-01 00:00:00', code }));
	await writeTinyMeds(meds, { '0.parquet': events }, { 1: 'train' });
	t.match(
		(await openMeds(meds)).notes.join('\n'),
		/^3 rows have a word for none, such as NA, or blanks alone as their/m,
	);
});
