import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { importOmop, openMeds, prepareStore, validateMeds } from '../../../../lib/index.js';
import { folderHashes, medsRows, parquetRows } from '../../../fixtures/meds-rows.js';
import { temporaryFolder } from '../../../fixtures/temporary-folder.js';
import { omopCsv, tinyConcepts, tinyOmop, writeOmopCsv, writeOmopParquet } from '../../../fixtures/tiny-omop.js';

const sum = (counts: Readonly<Record<string, number>>) => Object.values(counts).reduce((a, b) => a + b, 0);

t.test('every table becomes events by the mapping of docs/omop.md', async (t) => {
	const folder = temporaryFolder(t);
	const report = await importOmop(writeOmopCsv(join(folder, 'cdm'), tinyOmop()), join(folder, 'meds'), { notes: true });
	const rows = await medsRows(join(folder, 'meds'));
	const events = rows.map((row) =>
		[row.subject_id, row.time, row.code, row.numeric_value, row.text_value, row.visit_id, row.table, row.unit, row.end]
			.map((value) => value ?? '-')
			.join(' | '),
	);
	t.same(events, [
		'1 | - | Gender/M | - | - | - | person | - | -',
		'1 | 1950-03-01 00:00:00 | MEDS_BIRTH | - | - | - | person | - | -',
		'1 | 2020-01-01 08:00:00 | Visit/IP | - | - | 10 | visit | - | 2020-01-03 23:59:59',
		'1 | 2020-01-01 09:00:00 | ICD10CM/E11.9 | - | - | - | condition | - | -',
		'1 | 2020-01-01 09:00:00 | SNOMED/44054006 | - | - | - | condition | - | -',
		'1 | 2020-01-01 09:00:00 | condition/LOCAL1 | - | - | - | condition | - | -',
		'1 | 2020-01-01 23:59:59 | Visit/IP | - | - | 10 | visit_detail | - | -',
		'1 | 2020-01-02 23:59:59 | RxNorm/860975 | - | - | 10 | drug_exposure | - | 2020-01-09 23:59:59',
		'1 | 2020-01-02 23:59:59 | LOINC/2345-7 | 95.5 | - | - | measurement | mg/dL | -',
		'1 | 2020-01-02 23:59:59 | LOINC/2345-7 | 96.0 | - | - | measurement | MG/DL | -',
		'1 | 2020-01-02 23:59:59 | LOINC/2345-7 | - | Positive | - | measurement | - | -',
		'1 | 2020-01-02 23:59:59 | LOINC/2345-7 | 97.5 | - | - | measurement | - | -',
		'1 | 2020-01-02 23:59:59 | LOINC/2345-7 | - | clotted | - | measurement | - | -',
		'1 | 2020-01-02 23:59:59 | LOINC/2345-7 | 3.0 | - | - | measurement | SNOMED/258773002 | -',
		'1 | 2020-01-02 23:59:59 | SNOMED/44054006 | - | Line one\nline "two", ünïcode | - | note | - | -',
		'1 | 2020-01-03 23:59:59 | CMS Place of Service/12 | - | - | 10 | visit | - | -',
		'1 | 2020-06-01 23:59:59 | MEDS_DEATH | - | - | - | death | - | -',
		'2 | - | gender/X | - | - | - | person | - | -',
		'2 | 1960-05-06 07:08:09 | MEDS_BIRTH | - | - | - | person | - | -',
		'2 | 2021-01-01 23:59:59 | visit/unmapped | - | - | 11 | visit | - | -',
		'2 | 2021-01-01 23:59:59 | SNOMED/44054006 | - | - | - | procedure | - | -',
		'2 | 2021-01-01 23:59:59 | SNOMED/44054006 | - | - | - | device_exposure | - | -',
		'2 | 2021-01-01 23:59:59 | SNOMED/44054006 | - | often | - | observation | - | -',
	]);
	t.same(report.cdm, {
		version: '5.4',
		versionFrom: 'cdm_source',
		name: 'Tiny',
		releaseDate: '2024-01-01',
		vocabularyVersion: null,
	});
	t.match(report, { persons: 2, personsWithoutEvents: 0, events: rows.length, absent: [] });
	t.same(report.skipped, [
		{ table: 'observation_period', rows: 1, reason: 'says when a person was observed, which is not an event' },
	]);
	const stored = JSON.parse(readFileSync(join(folder, 'meds/metadata/omop-import.json'), 'utf8'));
	const { csv, ...kept } = report;
	t.same(stored, kept, 'the report is kept with the data, the same for CSV and parquet');
	t.same(csv.person, ['commas, text in quotes, utf-8']);
	t.same(readdirSync(join(folder, 'meds')).sort(), ['data', 'metadata'], 'no trace of the work');
	const conditions = report.tables.find(({ table }) => table === 'condition_occurrence')!;
	t.same(conditions.codes, { 'source-concept': 1, concept: 1, 'source-value': 1 });
	for (const counts of report.tables) t.equal(counts.rowsIn, counts.rowsOut + sum(counts.dropped), counts.table);
});

t.test('the output is strict MEDS 0.4: schema, order, codes with descriptions and parents, splits', async (t) => {
	const folder = temporaryFolder(t);
	const meds = join(folder, 'meds');
	const report = await importOmop(writeOmopCsv(join(folder, 'cdm'), tinyOmop()), meds, { seed: 3 });
	const validation = await validateMeds(meds);
	t.ok(validation.strict, JSON.stringify(validation.findings));
	t.match(validation, { subjects: 2, events: report.events, codes: report.codes });
	const codes = await parquetRows(
		`SELECT code, description, array_to_string(parent_codes, ' ') AS parents FROM read_parquet('${meds}/metadata/codes.parquet')`,
	);
	t.match(
		Object.fromEntries(codes.map(({ code, description, parents }) => [code, [description, parents]])),
		{
			'ICD10CM/E11.9': ['Type 2 diabetes without complications', 'SNOMED/44054006'],
			'SNOMED/44054006': ['Type 2 diabetes mellitus', 'SNOMED/10828004'],
			'Gender/M': ['MALE', null],
			MEDS_BIRTH: ['Birth', null],
			'condition/LOCAL1': [null, null],
		},
		'a relation that is no longer valid, or points to itself or down, is no parent',
	);
	t.notOk(
		codes.some(({ code }) => code === 'RxNorm/860975x' || code === 'SNOMED/10828004'),
		'codes of the data only',
	);
	t.match(JSON.parse(readFileSync(join(meds, 'metadata/dataset.json'), 'utf8')), {
		dataset_name: 'Tiny',
		dataset_version: '2024-01-01',
		etl_name: 'ehr-jepa import-omop',
		meds_version: '0.4.0',
	});
	t.equal((await openMeds(meds)).events, report.events);
});

t.test('CSV, gzipped CSV, parquet, shards, any number of threads: the same bytes', async (t) => {
	const folder = temporaryFolder(t);
	const tables = tinyOmop();
	const from = async (name: string, cdm: string, threads: number) => {
		await importOmop(cdm, join(folder, name), { threads });
		return folderHashes(join(folder, name));
	};
	const expected = await from('a', writeOmopCsv(join(folder, 'csv'), tables), 1);
	t.ok(Object.keys(expected).length >= 5);
	t.same(await from('b', writeOmopCsv(join(folder, 'gz'), tables, '.csv.gz'), 3), expected);
	t.same(await from('c', await writeOmopParquet(join(folder, 'parquet'), tables), 2), expected);
	t.same(await from('d', await writeOmopParquet(join(folder, 'shards'), tables, 2), 4), expected);
});

t.test('CDM 5.3 has other names for the discharge and for the columns of visits', async (t) => {
	const folder = temporaryFolder(t);
	const tables = tinyOmop();
	tables.cdm_source = [];
	tables.visit_occurrence = tables.visit_occurrence!.map(({ discharged_to_concept_id: to, ...row }) => ({
		...row,
		discharge_to_concept_id: to ?? null,
	}));
	tables.visit_detail = [
		{ visit_detail_id: 20, person_id: 1, visit_detail_concept_id: 9201, visit_start_date: '2020-01-01' },
	];
	delete (tables as Record<string, unknown>).cdm_source;
	const report = await importOmop(writeOmopCsv(join(folder, 'cdm'), tables), join(folder, 'meds'));
	t.match(report.cdm, { version: '5.3', versionFrom: 'columns', name: null });
	const codes = (await medsRows(join(folder, 'meds'))).map(({ code, table }) => `${table} ${code}`);
	t.ok(codes.includes('visit CMS Place of Service/12'));
	t.ok(codes.includes('visit_detail Visit/IP'));
});

t.test('many persons over many files: each whole in one, ascending', async (t) => {
	const folder = temporaryFolder(t);
	const tables = tinyOmop();
	const ids = Array.from({ length: 40 }, (_, i) => i * 7 - 70);
	tables.person = ids.map((person_id) => ({ person_id, gender_concept_id: 8507, year_of_birth: 1950 }));
	tables.measurement = ids.flatMap((person_id) =>
		Array.from({ length: 5 }, (_, i) => ({
			measurement_id: i,
			person_id,
			measurement_concept_id: 200,
			measurement_date: `2020-01-0${9 - i}`,
			value_as_number: i,
		})),
	);
	const cdm = writeOmopCsv(join(folder, 'cdm'), tables);
	const report = await importOmop(cdm, join(folder, 'meds'), { personsPerFile: 4, maxDropped: 1 });
	t.ok(report.files >= 10);
	const validation = await validateMeds(join(folder, 'meds'));
	t.ok(validation.strict);
	t.equal(validation.subjects, 40, 'negative ids and 0 are ids');
	t.equal(validation.files, report.files);
	t.same(validation.splits, report.splits);
});

t.test('the vocabulary may lie elsewhere, tab-separated and with bare quotes as OHDSI gives it', async (t) => {
	const folder = temporaryFolder(t);
	const { concept: _, concept_relationship: __, ...tables } = tinyOmop();
	const cdm = writeOmopCsv(join(folder, 'cdm'), tables);
	const quoted = tinyConcepts.map((row) =>
		row.concept_id === 200 ? { ...row, concept_name: 'Glucose 5" tall' } : row,
	);
	writeOmopCsv(join(folder, 'vocabulary'), {});
	const text = omopCsv(quoted, '\t').replace('"Glucose 5"" tall"', 'Glucose 5" tall');
	writeFileSync(join(folder, 'vocabulary/CONCEPT.csv'), text);
	const report = await importOmop(cdm, join(folder, 'meds'), { vocabulary: join(folder, 'vocabulary') });
	t.equal(report.tables.find(({ table }) => table === 'measurement')!.codes.concept, 6);
	const [glucose] = await parquetRows(
		`SELECT description FROM read_parquet('${folder}/meds/metadata/codes.parquet') WHERE code = 'LOINC/2345-7'`,
	);
	t.equal(glucose?.description, 'Glucose 5" tall');
});

t.test('datetimes at midnight are counted, and on demand taken for dates', async (t) => {
	const folder = temporaryFolder(t);
	const tables = tinyOmop();
	tables.death = [{ person_id: 1, death_date: '2020-06-01', death_datetime: '2020-06-01 00:00:00' }];
	const cdm = writeOmopCsv(join(folder, 'cdm'), tables);
	const death = async (out: string, midnight: 'as-given' | 'end-of-day') => {
		const { tables: counts, notes } = await importOmop(cdm, join(folder, out), { midnight });
		t.equal(counts.find(({ table }) => table === 'death')!.remarks.midnight, 1);
		t.match(notes.join(), /at midnight.*death 100\.0 %/);
		return (await medsRows(join(folder, out))).find(({ code }) => code === 'MEDS_DEATH')?.time;
	};
	t.equal(await death('a', 'as-given'), '2020-06-01 00:00:00');
	t.equal(await death('b', 'end-of-day'), '2020-06-01 23:59:59');
});

const pyarrow = spawnSync('python3', ['-c', 'import pyarrow']).status === 0;
t.test('pyarrow reads the types of MEDS', { skip: pyarrow ? false : 'pyarrow is not installed' }, async (t) => {
	const folder = temporaryFolder(t);
	await importOmop(writeOmopCsv(join(folder, 'cdm'), tinyOmop()), join(folder, 'meds'));
	const script = `import sys, glob, pyarrow.parquet as pq
for pattern in ('data/*/*', 'metadata/codes', 'metadata/subject_splits'):
    schema = pq.read_schema(glob.glob(sys.argv[1] + '/' + pattern + '.parquet')[0])
    print(', '.join(name + ' ' + str(type) for name, type in zip(schema.names, schema.types)))`;
	const { stdout } = spawnSync('python3', ['-c', script, join(folder, 'meds')], { encoding: 'utf8' });
	t.same(stdout.replaceAll('element:', 'item:').trim().split('\n'), [
		'subject_id int64, time timestamp[us], code string, numeric_value float, text_value large_string, visit_id int64, table string, unit string, end timestamp[us]',
		'code string, description string, parent_codes list<item: string>',
		'subject_id int64, split string',
	]);
});

const sample = '../shared/data/omop-synthea27nj';
const skip = existsSync(sample) ? false : 'the OMOP sample is not on this machine';
t.test('the OMOP sample goes all the way to a token store', { skip }, async (t) => {
	const folder = temporaryFolder(t);
	const [csv, parquet] = [join(folder, 'csv'), join(folder, 'parquet')];
	const report = await importOmop(`${sample}/csv`, csv);
	t.match(report, { cdm: { version: '5.4' }, persons: 28, personsWithoutEvents: 0 });
	t.same(
		report.tables.filter(({ part }) => part !== 'discharge').map(({ rowsIn, rowsOut }) => rowsIn - rowsOut),
		report.tables.filter(({ part }) => part !== 'discharge').map(() => 0),
		'no row is lost',
	);
	const rows = Object.fromEntries(report.tables.map(({ table, part = '', rowsOut }) => [`${table} ${part}`, rowsOut]));
	t.match(rows, { 'measurement ': 10_040, 'observation ': 8_099, 'drug_exposure ': 883, 'death ': 3 });
	const fromParquet = await importOmop(`${sample}/parquet`, parquet);
	const notes = fromParquet.notes.filter((note) => !/whole numbers as floats write them/.test(note));
	t.equal(fromParquet.notes.length - notes.length, 4, 'pandas wrote whole numbers of this sample as floats');
	t.same({ ...fromParquet, notes, csv: report.csv }, report, 'all else is told alike');
	const { 'metadata/omop-import.json': fromCsv, ...files } = folderHashes(csv);
	t.ok(fromCsv);
	t.match(folderHashes(parquet), files, 'the same MEDS to the byte');
	const validation = await validateMeds(csv);
	t.ok(validation.strict);
	t.equal(validation.events, report.events);
	const { splits } = await prepareStore(csv, join(folder, 'store'));
	t.equal(splits.train.patients, report.splits.train);
	t.ok(splits.train.tokens > 20_000);
});
