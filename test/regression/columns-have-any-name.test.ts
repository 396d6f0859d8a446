/** Promise: columns that are not read may have any name, also DuckDB's own; names that cannot be told apart are refused. */
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { withDatabase } from '../../lib/data/query.js';
import { copyToParquet } from '../../lib/files/duckdb-files.js';
import {
	buildTasks,
	commonTasks,
	importOmop,
	openMeds,
	prepareStore,
	readIndexDates,
	validateMeds,
} from '../../lib/index.js';
import { soundMeds, writeMeds } from '../fixtures/meds-folder.js';
import { medsRows } from '../fixtures/meds-rows.js';
import { temporaryFolder } from '../fixtures/temporary-folder.js';
import { tinyOmop, writeOmopParquet } from '../fixtures/tiny-omop.js';

const folder = temporaryFolder(t);
const own = [
	'filename',
	'file_index',
	'rowid',
	'hive_partitioning',
	'ehr_jepa',
	'row',
	'split',
	'order',
	'a"b',
	"it's",
];

/** A sound data set with further columns in the file of the training patients. */
async function withColumns(name: string, columns: readonly string[]): Promise<string> {
	const meds = soundMeds();
	const further = columns.map((column) => `42 AS "${column.replaceAll('"', '""')}"`).join(', ');
	meds.select['data/train/0.parquet'] =
		`s::BIGINT AS subject_id, t::TIMESTAMP AS time, c::VARCHAR AS code, v::FLOAT AS numeric_value, ${further}`;
	return writeMeds(join(folder, name), meds);
}

/** Renames a column within a file: DuckDB, which wrote it, gives no two columns of one name. */
function rename(path: string, from: string, to: string): void {
	const bytes = readFileSync(path);
	for (let at = bytes.indexOf(from); at >= 0 && from !== to; at = bytes.indexOf(from, at + 1)) bytes.write(to, at);
	writeFileSync(path, bytes);
}

t.test('MEDS', async (t) => {
	const plain = await writeMeds(join(folder, 'plain'), soundMeds());
	const meds = await withColumns('own', own);
	const [a, b] = [await openMeds(plain), await openMeds(meds)];
	t.same([b.events, b.subjects], [a.events, a.subjects]);
	t.match(await validateMeds(meds), { valid: true, unchecked: [], events: a.events });
	const options = { tokens: { kind: 'structured', minPatients: 1 }, threads: 1 } as const;
	const [one, other] = [
		await prepareStore(plain, join(folder, 'plain-store'), options),
		await prepareStore(meds, join(folder, 'own-store'), options),
	];
	t.same(other.splits, one.splits);
	const few = { tasks: [...commonTasks], minHistoryDays: 1 };
	await buildTasks(plain, join(folder, 'plain-tasks'), few);
	await buildTasks(meds, join(folder, 'own-tasks'), few);
	t.same(await readIndexDates(join(folder, 'own-tasks')), await readIndexDates(join(folder, 'plain-tasks')));
	const capitals = await withColumns(
		'capitals',
		own.map((name) => name.toUpperCase()),
	);
	t.equal((await openMeds(capitals)).events, a.events);
});

t.test('what cannot be told apart', async (t) => {
	const refused = async (name: string, column: string, message: RegExp, written = column) => {
		const meds = await withColumns(name, [written]);
		rename(join(meds, 'data/train/0.parquet'), written, column);
		await t.rejects(openMeds(meds), { code: 'EHR_JEPA_DATA', message }, name);
		const { findings } = await validateMeds(meds);
		t.match(findings, [{ name: 'file-readable', first: { file: 'data/train/0.parquet' } }], `${name}: validate`);
	};
	await refused('numbers', 'file_row_number', /column file_row_number must not be there: .*; rename or remove/);
	await refused('NUMBERS', 'File_Row_Number', /column File_Row_Number must not be there/);
	const twice = /column code must be there once, capitals aside but found Code beside it; rename/;
	await refused('codes', 'Code', twice, 'kode');
	await refused('the same', 'code', /column code must be there once, capitals aside but found the same name/, 'kode');
});

t.test('inside of structs and lists any name may come again', async (t) => {
	const meds = soundMeds();
	meds.select['data/train/0.parquet'] =
		`{time: 1, code: 2, deep: {code: [3], subject_id: 4}} AS meta, s::BIGINT AS subject_id, t::TIMESTAMP AS time, c::VARCHAR AS code, v::FLOAT AS numeric_value`;
	t.match(await openMeds(await writeMeds(join(folder, 'nested'), meds)), { events: 20, notes: [] });
});

t.test('OMOP', async (t) => {
	const tables = tinyOmop();
	const more = Object.fromEntries(
		Object.entries(tables).map(([table, rows]) => [
			table,
			rows.map((row) => ({ ...row, filename: 'x', file_row_number: '7', file_index: '1', year: '2020' })),
		]),
	);
	await importOmop(await writeOmopParquet(join(folder, 'cdm'), tables, 2), join(folder, 'omop'), { threads: 1 });
	await importOmop(await writeOmopParquet(join(folder, 'cdm-2'), more, 2), join(folder, 'omop-2'), { threads: 1 });
	t.same(await medsRows(join(folder, 'omop-2')), await medsRows(join(folder, 'omop')));
	const cdm = await writeOmopParquet(join(folder, 'cdm-3'), tables);
	await withDatabase({}, (database) =>
		database.run(
			copyToParquet('SELECT 1 AS person_id, 2 AS kerson_id, 1950 AS year_of_birth', join(cdm, 'person.parquet')),
		),
	);
	rename(join(cdm, 'person.parquet'), 'kerson_id', 'PERSON_ID');
	await t.rejects(importOmop(cdm, join(folder, 'omop-3')), {
		code: 'EHR_JEPA_DATA',
		message: /person\.parquet: column person_id must be there once/,
	});
});

t.test('links are followed, and no circle is', async (t) => {
	const plain = join(folder, 'plain');
	mkdirSync(join(folder, 'linked'));
	mkdirSync(join(folder, 'linked/data'));
	for (const split of ['train', 'tuning', 'held_out'])
		symlinkSync(join(plain, 'data', split), join(folder, 'linked/data', split));
	symlinkSync(join(plain, 'metadata'), join(folder, 'linked/metadata'));
	t.match(await openMeds(join(folder, 'linked')), { events: 20, notes: [] });
	symlinkSync(join(folder, 'linked'), join(folder, 'linked/data/again'));
	await t.rejects(openMeds(join(folder, 'linked')), {
		code: 'EHR_JEPA_DATA',
		message: /data\/again: must not be a link to a folder that it lies in/,
	});
	await writeMeds(join(folder, 'gone'), { ...soundMeds(), splits: undefined });
	symlinkSync(join(folder, 'nowhere'), join(folder, 'gone/metadata/subject_splits.parquet'));
	await t.rejects(openMeds(join(folder, 'gone')), { message: /subject_splits\.parquet: must be a file/ });
});
