import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { wholeNumberSql } from '../../lib/data/omop/whole-number.js';
import { quoted, withDatabase } from '../../lib/data/query.js';
import { importOmop } from '../../lib/index.js';
import { medsRows } from '../fixtures/meds-rows.js';
import fc from '../fixtures/property.js';
import { temporaryFolder } from '../fixtures/temporary-folder.js';
import {
	condition,
	type OmopRows,
	tinyConcepts,
	tinyOmop,
	writeOmopCsv,
	writeOmopParquet,
} from '../fixtures/tiny-omop.js';

t.setTimeout(600_000);

async function read(values: readonly string[], type: string): Promise<(bigint | null)[]> {
	return withDatabase({ threads: 1 }, async (database) => {
		const list = values.map((value, i) => `(${i}, ${quoted(value)}::${type})`).join(', ');
		const rows = await database.rows(
			`SELECT ${wholeNumberSql('"v"', type)} AS id FROM (VALUES ${list}) t(i, v) ORDER BY i`,
		);
		return rows.map(({ id }) => id as bigint | null);
	});
}

t.test('a whole number is read in every form, a fraction or a rounded number in none', async (t) => {
	const cases: Readonly<Record<string, bigint | null>> = {
		'201825': 201825n,
		' 201825 ': 201825n,
		'-5': -5n,
		'+5': 5n,
		'9223372036854775807': 9223372036854775807n,
		'-9223372036854775808': -9223372036854775808n,
		'9223372036854775808': null,
		'444239.0': 444239n,
		'444239.': 444239n,
		'444239.000': 444239n,
		'1e+05': 100000n,
		'1E5': 100000n,
		'2.01825e+05': 201825n,
		'4.44239e+02': null,
		'201825.6': null,
		'2.6': null,
		'0.1': null,
		'.0': null,
		'1e-05': null,
		'9007199254740991.0': 9007199254740991n,
		'9007199254740992.0': null,
		'1.2345678901234567e+18': null,
		'1e+20': null,
		'0x10': null,
		x9: null,
		nan: null,
		inf: null,
		'': null,
	};
	const found = await read(Object.keys(cases), 'VARCHAR');
	for (const [i, [text, id]] of Object.entries(cases).entries()) t.equal(found[i], id, JSON.stringify(text));
	t.same(
		await read(['201825', '201825.6', '-3', '9007199254740991', '9007199254740992', '1e300', 'nan', 'inf'], 'DOUBLE'),
		[201825n, null, -3n, 9007199254740991n, null, null, null, null],
	);
	t.same(await read(['5', '5.5', '16777215', '16777216'], 'FLOAT'), [5n, null, 16777215n, null]);
	t.same(await read(['5.00', '5.50'], 'DECIMAL(18,2)'), [5n, null]);
	t.same(await read(['18446744073709551615', '7'], 'UBIGINT'), [null, 7n]);
	const ids = fc.array(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), { minLength: 1, maxLength: 20 });
	await t.resolves(
		fc.assert(
			fc.asyncProperty(ids, async (list) => (await read(list.map(String), 'VARCHAR')).every((id, i) => id === list[i])),
			{ numRuns: 20 },
		),
	);
});

/** The same CDM with every id as a float writes it. */
function throughFloats(tables: Readonly<Record<string, OmopRows>>): Record<string, OmopRows> {
	const number = (column: string, value: unknown) =>
		typeof value === 'number' && /_id$|_id_[12]$|_of_birth$/.test(column) ? `${value}.0` : value;
	return Object.fromEntries(
		Object.entries(tables).map(([table, rows]) => [
			table,
			rows.map((row) =>
				Object.fromEntries(Object.entries(row).map(([column, value]) => [column, number(column, value)])),
			),
		]),
	) as Record<string, OmopRows>;
}

t.test('a CDM whose ids went through floats is the same, and fractions are counted', async (t) => {
	const folder = temporaryFolder(t);
	await importOmop(writeOmopCsv(join(folder, 'a'), tinyOmop()), join(folder, 'a-meds'));
	await importOmop(writeOmopCsv(join(folder, 'b'), throughFloats(tinyOmop())), join(folder, 'b-meds'));
	t.same(await medsRows(join(folder, 'b-meds')), await medsRows(join(folder, 'a-meds')));
	const conditions = [
		condition({ condition_concept_id: '101.6', condition_source_value: 'LOCAL' }),
		condition({ condition_concept_id: 101, visit_occurrence_id: '2.5' }),
		condition({ condition_concept_id: 101, person_id: '1.4' }),
		condition({ condition_concept_id: 101 }),
	];
	const cdm = writeOmopCsv(join(folder, 'c'), { ...tinyOmop(), condition_occurrence: conditions });
	const report = await importOmop(cdm, join(folder, 'c-meds'), { maxDropped: 1, maxUnknownConcepts: 1 });
	const found = report.tables.find(({ table }) => table === 'condition_occurrence')!;
	t.same(found.dropped, { 'unreadable-person': 1 });
	t.equal(found.remarks['unreadable-id'], 2);
	const broken = writeOmopCsv(join(folder, 'd'), {
		...tinyOmop(),
		concept: [...tinyConcepts, { ...tinyConcepts[0]!, concept_id: '201825.6' }],
	});
	await t.rejects(importOmop(broken, join(folder, 'd-meds')), {
		message: /CONCEPT: column concept_id must hold whole numbers that no float has rounded but found 1 rows.*export/,
	});
});

t.test('codes in a column of numbers are refused with the fix; as text they stay what they are', async (t) => {
	const folder = temporaryFolder(t);
	const cdm = await writeOmopParquet(join(folder, 'cdm'), tinyOmop());
	const write = (table: string, sql: string) =>
		withDatabase({}, (database) =>
			database.run(`COPY (${sql}) TO ${quoted(join(cdm, `${table}.parquet`))} (FORMAT parquet)`),
		);
	const conditions = (type: string, value: string) =>
		write(
			'condition_occurrence',
			`SELECT 1 AS person_id, 0 AS condition_concept_id, DATE '2020-01-01' AS condition_start_date, ${value}::${type} AS condition_source_value`,
		);
	for (const type of ['DOUBLE', 'BIGINT']) {
		await conditions(type, '168537006');
		await t.rejects(importOmop(cdm, join(folder, 'out')), {
			message:
				/condition_occurrence\.parquet: column condition_source_value must be a text but found (DOUBLE|BIGINT); export it as text/,
		});
	}
	await conditions('DOUBLE', 'NULL');
	await importOmop(cdm, join(folder, 'nulls'), { maxDropped: 1 });
	await conditions('VARCHAR', "'0389'");
	await importOmop(cdm, join(folder, 'text'));
	t.ok((await medsRows(join(folder, 'text'))).some(({ code }) => code === 'condition/0389'));
	await write('concept', "SELECT 101 AS concept_id, 'SNOMED' AS vocabulary_id, 44054006 AS concept_code");
	await t.rejects(importOmop(cdm, join(folder, 'out')), {
		message: /column concept_code must be a text but found INTEGER; export it as text/,
	});
	const csv = writeOmopCsv(join(folder, 'csv'), tinyOmop());
	const header = 'person_id,condition_concept_id,condition_start_date,condition_source_value\n';
	const rows = (values: readonly string[]) => header + values.map((value) => `1,0,2020-01-01,${value}\n`).join('');
	writeFileSync(join(csv, 'CONDITION_OCCURRENCE.csv'), rows(['168537006.0', '73211009.0']));
	await importOmop(csv, join(folder, 'floats'));
	const codes = async (meds: string) =>
		(await medsRows(join(folder, meds)))
			.map(({ code }) => code!)
			.filter((code) => code.startsWith('condition/'))
			.sort();
	t.same(await codes('floats'), ['condition/168537006', 'condition/73211009'], 'a column of floats');
	writeFileSync(join(csv, 'CONDITION_OCCURRENCE.csv'), rows(['250.0', 'E11.9', '250.1']));
	await importOmop(csv, join(folder, 'icd'));
	t.same(await codes('icd'), ['condition/250.0', 'condition/250.1', 'condition/E11.9'], 'codes with a dot');
});
