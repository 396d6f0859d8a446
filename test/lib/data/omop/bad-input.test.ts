import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { withDatabase } from '../../../../lib/data/query.js';
import { ConfigError, DataError, importOmop, OutputError, validateMeds } from '../../../../lib/index.js';
import { medsRows } from '../../../fixtures/meds-rows.js';
import { temporaryFolder } from '../../../fixtures/temporary-folder.js';
import {
	condition,
	measurement,
	type OmopRows,
	omopCsv,
	tinyOmop,
	writeOmopCsv,
	writeOmopParquet,
} from '../../../fixtures/tiny-omop.js';

/** PERSON, CONCEPT and the given tables. */
function few(tables: Readonly<Record<string, OmopRows>>): Record<string, OmopRows> {
	const { person, concept } = tinyOmop();
	return { person: person!, concept: concept!, ...tables };
}

async function refused(t: Test, cdm: string, message: RegExp, options = {}): Promise<void> {
	const out = `${cdm}-out`;
	const error = await importOmop(cdm, out, options).then(
		() => undefined,
		(reason: unknown) => reason,
	);
	t.ok(error instanceof DataError, String(error));
	t.match((error as Error).message, message);
	t.notOk(existsSync(out), 'nothing is left that looks whole');
	t.same(
		readdirSync(join(cdm, '..')).filter((name) => name.endsWith('.tmp')),
		[],
	);
}

t.test('what cannot be read is refused, with file, rule, value and fix', async (t) => {
	const folder = temporaryFolder(t);
	let n = 0;
	const cdm = (tables: Readonly<Record<string, OmopRows>>) => writeOmopCsv(join(folder, `cdm${n++}`), tables);
	const { person: _, ...withoutPerson } = tinyOmop();
	await refused(t, cdm(withoutPerson), /must hold PERSON but found .*measurement.*; give the folder/);
	await refused(t, cdm({}), /must hold PERSON but found no table of the CDM/);
	await refused(t, join(folder, 'nowhere'), /must be a folder with the tables of an OMOP CDM/);
	const { concept: __, ...withoutConcept } = tinyOmop();
	await refused(
		t,
		cdm(withoutConcept),
		/must hold CONCEPT.*--vocabulary.*missingConcept: concept-id, --missing-concept concept-id/,
	);
	await refused(
		t,
		cdm(few({ person: [{ person_id: 1 }, { person_id: 2 }, { person_id: 1 }] })),
		/PERSON: column person_id must be unique but found 1 repeated, first 1; remove the copies/,
	);
	await refused(
		t,
		cdm(few({ person: [{ person_id: 'a3f0' }] })),
		/PERSON: column person_id must hold at least one 64-bit integer but found none; number the persons/,
	);
	await refused(
		t,
		cdm(few({ measurement: [{ measurement_id: 1, person_id: 1, measurement_date: '2020-01-01' }] })),
		/MEASUREMENT\.csv: column measurement_concept_id must be present but found columns measurement_id, person_id/,
	);
	await refused(
		t,
		cdm(few({ measurement: [{ person_id: 1, measurement_concept_id: 200 }] })),
		/column measurement_datetime or measurement_date must be present/,
	);
	await refused(
		t,
		cdm({ ...tinyOmop(), cdm_source: [{ cdm_version: '6.0' }] }),
		/must be an OMOP CDM 5 but found cdm_version 6/,
	);
	const both = cdm(tinyOmop());
	mkdirSync(join(both, 'person'));
	await refused(t, both, /must hold PERSON once but found PERSON\.csv and person; keep one/);
	const empty = cdm(tinyOmop());
	writeFileSync(join(empty, 'MEASUREMENT.csv'), '');
	await refused(t, empty, /MEASUREMENT\.csv: must begin with a header line but found an empty file/);
	const ragged = cdm(tinyOmop());
	writeFileSync(join(ragged, 'DEATH.csv'), 'person_id,death_date\n1,2020-01-01,secret text\n');
	await refused(t, ragged, /DEATH\.csv: must be readable but found .*Line: 2/);
	await refused(t, ragged, /^(?!.*secret text)/s);
	const broken = cdm(few({}));
	writeFileSync(join(broken, 'measurement.parquet'), 'PAR1 not at all');
	await refused(t, broken, /measurement\.parquet: must be readable/);
	const nested = await writeOmopParquet(join(folder, 'nested'), few({}));
	mkdirSync(join(nested, 'death'));
	await refused(t, nested, /death: must hold \.parquet, \.csv or \.csv\.gz files but found none/);
});

t.test('text that is not UTF-8 is refused and read with its encoding', async (t) => {
	const folder = temporaryFolder(t);
	const cdm = writeOmopCsv(join(folder, 'cdm'), few({}));
	const rows = [
		condition({ condition_occurrence_id: 1, condition_concept_id: 0, condition_source_value: 'Diab\u00e9te' }),
	];
	writeFileSync(join(cdm, 'CONDITION_OCCURRENCE.csv'), Buffer.from(omopCsv(rows), 'latin1'));
	await refused(
		t,
		cdm,
		/CONDITION_OCCURRENCE\.csv: must be UTF-8 but found other bytes at line 2; give the encoding latin-1/,
	);
	await importOmop(cdm, join(folder, 'meds'), { encoding: 'latin-1' });
	t.ok((await medsRows(join(folder, 'meds'))).some(({ code }) => code === 'condition/Diab\u00e9te'));
});

t.test('every row that is lost has a reason, every oddity that is kept a count', async (t) => {
	const folder = temporaryFolder(t);
	const lost = [
		condition({ person_id: null, condition_concept_id: 101 }),
		condition({ person_id: 'x9', condition_concept_id: 101 }),
		condition({ person_id: '9999999999999999999999', condition_concept_id: 101 }),
		condition({ person_id: 77, condition_concept_id: 101 }),
		condition({ condition_start_date: null, condition_start_datetime: null, condition_concept_id: 101 }),
		condition({ condition_start_date: '13/31/2020', condition_start_datetime: null, condition_concept_id: 101 }),
		condition({ condition_start_date: '9999-12-31', condition_start_datetime: null, condition_concept_id: 101 }),
		condition({ condition_start_date: '0001-01-01', condition_start_datetime: null, condition_concept_id: 101 }),
		condition({ condition_start_date: 'infinity', condition_start_datetime: null, condition_concept_id: 101 }),
		condition({ condition_concept_id: 0 }),
		condition({ condition_concept_id: null, condition_source_value: '  ' }),
	];
	const kept = [
		condition({ condition_concept_id: 101, condition_start_datetime: 'noon' }),
		condition({ condition_concept_id: 101, condition_start_datetime: '1949-12-31 10:00:00' }),
		condition({ condition_concept_id: 101, condition_start_datetime: '2020-07-01 10:00:00' }),
		condition({ condition_concept_id: 101, condition_end_date: '2019-01-01' }),
		condition({ condition_concept_id: 101, condition_end_date: '9999-12-31' }),
		condition({ condition_concept_id: 123456, condition_source_value: 'unknown' }),
		condition({ condition_concept_id: 101, condition_source_concept_id: 123457 }),
	];
	const tables = few({
		condition_occurrence: [...lost, ...kept],
		measurement: [
			measurement({ value_as_number: 'high' }),
			measurement({ value_as_number: 'inf' }),
			measurement({ value_as_number: 1e300 }),
			measurement({ value_source_value: '7' }),
			measurement({ value_as_number: 'nan', value_source_value: '7' }),
		],
		death: [
			{ person_id: 1, death_date: '2020-06-01' },
			{ person_id: 1, death_date: '2020-05-01' },
		],
	});
	const cdm = writeOmopCsv(join(folder, 'cdm'), tables);
	await refused(
		t,
		cdm,
		/must not lose more than 20\.0 % of its rows \(maxDropped, --max-dropped\).*condition_occurrence: 1 null-person/,
	);
	const meds = join(folder, 'meds');
	const warnings: string[] = [];
	const report = await importOmop(cdm, meds, { maxDropped: 1 }, { onWarning: (text) => warnings.push(text) });
	const of = (name: string) => report.tables.find(({ table }) => table === name)!;
	t.match(of('condition_occurrence'), { rowsIn: lost.length + kept.length, rowsOut: kept.length, unknownConcepts: 2 });
	t.same(of('condition_occurrence').dropped, {
		'null-person': 1,
		'unreadable-person': 2,
		'unknown-person': 1,
		'no-date': 1,
		'unreadable-date': 1,
		'date-out-of-range': 3,
		'no-concept': 2,
	});
	t.same(of('condition_occurrence').remarks, {
		'before-birth': 1,
		'after-death': 1,
		'end-before-start': 1,
		'unreadable-end': 1,
		'unreadable-datetime': 1,
	});
	t.same(of('condition_occurrence').codes, { concept: 6, 'source-value': 1 });
	t.same(of('measurement').remarks, { 'unreadable-value': 1, 'value-not-finite': 3, 'value-from-source': 1 });
	t.same(of('death').dropped, { 'repeated-death': 1 });
	t.match(warnings.join('\n'), /condition_occurrence: 61\.1 % of the rows are lost/);
	const rows = await medsRows(meds);
	t.equal(rows.find(({ code }) => code === 'MEDS_DEATH')?.time, '2020-05-01 23:59:59', 'the earliest');
	t.same(
		rows.filter(({ table }) => table === 'measurement').map(({ numeric_value }) => numeric_value),
		[null, null, null, null, '7.0'],
	);
	t.ok((await validateMeds(meds)).strict);
	const dropped = await importOmop(cdm, join(folder, 'mapped'), { maxDropped: 1, unmapped: 'drop' });
	t.match(dropped.tables.find(({ table }) => table === 'condition_occurrence')?.dropped, {
		unmapped: 1,
		'no-concept': 2,
	});
});

t.test('births and persons that are not whole', async (t) => {
	const folder = temporaryFolder(t);
	const person = [
		{ person_id: 1, gender_concept_id: 8507, year_of_birth: null },
		{ person_id: 2, gender_concept_id: 8507, year_of_birth: 1990, month_of_birth: 2, day_of_birth: 30 },
		{ person_id: 3, gender_concept_id: 0, year_of_birth: null },
		{ person_id: null, gender_concept_id: 8507, year_of_birth: 1990 },
		{ person_id: -(2 ** 53) + 1, gender_concept_id: 8507, year_of_birth: 1990 },
		{ person_id: '9223372036854775807', gender_concept_id: 8507, year_of_birth: 1990 },
	];
	const report = await importOmop(writeOmopCsv(join(folder, 'cdm'), few({ person })), join(folder, 'meds'), {
		maxDropped: 1,
	});
	t.match(report, { persons: 5, personsWithoutEvents: 1 });
	const of = (name: string) => report.tables.find(({ part }) => part === name)!;
	t.same(of('birth').dropped, { 'null-person': 1, 'no-date': 2, 'unreadable-date': 1 });
	t.same(of('gender').dropped, { 'null-person': 1, 'not-recorded': 1 });
	const rows = await medsRows(join(folder, 'meds'));
	t.equal(rows.at(-1)?.subject_id, '9223372036854775807');
	t.equal(rows[0]?.subject_id, '-9007199254740991');
});

t.test('columns of wrong types in parquet are refused or counted', async (t) => {
	const folder = temporaryFolder(t);
	const cdm = await writeOmopParquet(join(folder, 'cdm'), few({}));
	const death = (sql: string) =>
		withDatabase({}, (database) => database.run(`COPY (${sql}) TO '${join(cdm, 'death.parquet')}' (FORMAT parquet)`));
	await death("SELECT 1 AS person_id, {'year': 2020} AS death_date");
	await refused(t, cdm, /death\.parquet: column death_date must be a date but found STRUCT/);
	await death("SELECT [1] AS person_id, DATE '2020-01-01' AS death_date");
	await refused(t, cdm, /death\.parquet: column person_id must be an integer but found INTEGER\[\]/);
	await death("SELECT 1.0::DOUBLE AS person_id, DATE '2020-01-01' AS death_date");
	const report = await importOmop(cdm, join(folder, 'meds'));
	t.equal(report.tables.find(({ table }) => table === 'death')?.rowsOut, 1, 'pandas writes ids with a null as doubles');
});

t.test('empty tables are no error; without CONCEPT codes may be made of ids', async (t) => {
	const folder = temporaryFolder(t);
	const tables = Object.fromEntries(Object.entries(tinyOmop()).filter(([table]) => table !== 'concept'));
	const cdm = writeOmopCsv(join(folder, 'cdm'), tables);
	writeFileSync(join(cdm, 'DEATH.csv'), 'person_id,death_date\n');
	const report = await importOmop(cdm, join(folder, 'meds'), { missingConcept: 'concept-id' });
	t.match(
		report.tables.find(({ table }) => table === 'death'),
		{ rowsIn: 0, rowsOut: 0 },
	);
	const codes = new Set((await medsRows(join(folder, 'meds'))).map(({ code }) => code));
	t.ok(codes.has('OMOP_CONCEPT_ID/100'));
	t.ok((await validateMeds(join(folder, 'meds'))).strict);
});

// The class is called as the platform calls it.
const aborted = { name: 'AbortError', code: 'ABORT_ERR' };

t.test('options, output and abort', async (t) => {
	const folder = temporaryFolder(t);
	const cdm = writeOmopCsv(join(folder, 'cdm'), tinyOmop());
	await t.rejects(importOmop(cdm, join(folder, 'x'), { unmaped: 'drop' } as never), ConfigError);
	await t.rejects(importOmop(cdm, join(folder, 'x'), { maxDropped: 2 }), ConfigError);
	mkdirSync(join(folder, 'full'));
	writeFileSync(join(folder, 'full/file'), '');
	await t.rejects(importOmop(cdm, join(folder, 'full')), OutputError);
	await t.rejects(importOmop(cdm, join(folder, 'x'), {}, { signal: AbortSignal.abort() }), aborted);
	for (const stage of ['read OMOP', 'count', 'write MEDS']) {
		const controller = new AbortController();
		const onProgress = (progress: { stage: string; done: number }) => {
			if (progress.stage === stage && progress.done === 1) controller.abort();
		};
		await t.rejects(importOmop(cdm, join(folder, 'x'), {}, { signal: controller.signal, onProgress }), aborted, stage);
		t.notOk(existsSync(join(folder, 'x')));
	}
	t.same(readdirSync(folder).sort(), ['cdm', 'full'], 'no temporary folder is left');
});
