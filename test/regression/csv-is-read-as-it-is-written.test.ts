import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { importOmop } from '../../lib/index.js';
import { medsRows } from '../fixtures/meds-rows.js';
import { temporaryFolder } from '../fixtures/temporary-folder.js';
import { type OmopRows, omopCsv, tinyConcepts, tinyOmop, writeOmopCsv } from '../fixtures/tiny-omop.js';

t.setTimeout(600_000);

const quotedAll = (rows: OmopRows, delimiter: string, quoteInside: (text: string) => string, numbers = true) => {
	const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
	const cell = (value: unknown) => {
		if (value === null || value === undefined) return '';
		return typeof value === 'number' && !numbers ? String(value) : `"${quoteInside(String(value))}"`;
	};
	const lines = rows.map((row) => columns.map((column) => cell(row[column])).join(delimiter));
	return [columns.map(cell).join(delimiter), ...lines, ''].join('\n');
};
const doubled = (text: string) => text.replaceAll('"', '""');
const backslashed = (text: string) => text.replaceAll('"', '\\"');

const utf16 = (text: string, order: 'le' | 'be', mark = true) => {
	const bytes = Buffer.from(`${mark ? '\ufeff' : ''}${text}`, 'utf16le');
	return order === 'le' ? bytes : bytes.swap16();
};
/** Line ends in turn, as files have them that were put together. */
const mixed = (text: string) => {
	let n = 0;
	return text.replaceAll('\n', () => ['\n', '\r\n'][n++ % 2]!);
};

const notes: OmopRows = [
	{
		note_id: 1,
		person_id: 1,
		note_date: '2020-01-02',
		note_class_concept_id: 101,
		note_text: 'she said "well", and\tleft; a|b',
	},
	{ note_id: 2, person_id: 2, note_date: '2020-01-03', note_class_concept_id: 101, note_text: 'caf\u00e9, two\nlines' },
];

/** Each writes a table's rows in a way of its own. */
const ways: Readonly<Record<string, (rows: OmopRows) => string | Buffer>> = {
	commas: (rows) => omopCsv(rows),
	semicolons: (rows) => omopCsv(rows, ';'),
	bars: (rows) => omopCsv(rows, '|'),
	'tabs, text in quotes where needed (pandas)': (rows) => omopCsv(rows, '\t'),
	'tabs, all text in quotes (R)': (rows) => quotedAll(rows, '\t', doubled, false),
	'tabs, all in quotes': (rows) => quotedAll(rows, '\t', doubled),
	'commas, all in quotes': (rows) => quotedAll(rows, ',', doubled),
	'backslash before quotes (R, MySQL)': (rows) => quotedAll(rows, ',', backslashed),
	'tabs, backslash before quotes (R)': (rows) => quotedAll(rows, '\t', backslashed, false),
	'byte order mark': (rows) => `\ufeff${omopCsv(rows)}`,
	'CR LF': (rows) => omopCsv(rows).replaceAll('\n', '\r\n').replaceAll('two\r\nlines', 'two\nlines'),
	'mixed line ends': (rows) => mixed(omopCsv(rows)).replaceAll('two\r\nlines', 'two\nlines'),
	'mixed line ends, all in quotes': (rows) =>
		mixed(quotedAll(rows, ',', doubled)).replaceAll('two\r\nlines', 'two\nlines'),
	'UTF-16, little end first': (rows) => utf16(omopCsv(rows), 'le'),
	'UTF-16, big end first': (rows) => utf16(omopCsv(rows, '\t'), 'be'),
	'UTF-16 without a mark': (rows) => utf16(quotedAll(rows, ',', doubled), 'le', false),
	'no line end at the end': (rows) => omopCsv(rows).trimEnd(),
	'blank lines at the end': (rows) => `${omopCsv(rows)}\n\n`,
};

t.test('a CDM is the same however its CSV files are written', async (t) => {
	const folder = temporaryFolder(t);
	// Dates, times, numbers, ids, names and free text: the other tables hold no other kind of cell.
	const { person, visit_occurrence, measurement, concept, concept_relationship } = tinyOmop();
	const tables = { person, visit_occurrence, measurement, concept, concept_relationship, note: notes } as Record<
		string,
		OmopRows
	>;
	let expected: unknown;
	for (const [name, write] of Object.entries(ways)) {
		const cdm = join(folder, name.replaceAll(/\W/g, ''));
		mkdirSync(cdm);
		for (const [table, rows] of Object.entries(tables)) writeFileSync(join(cdm, `${table}.csv`), write(rows));
		const report = await importOmop(cdm, `${cdm}-meds`, { notes: true });
		const rows = await medsRows(`${cdm}-meds`);
		expected ??= rows;
		t.same(rows, expected, name);
		t.equal(Object.keys(report.csv).length > 0, true, 'and it is said how they are written');
	}
});

t.test("OHDSI's vocabulary files: tabs, and quotes that are text", async (t) => {
	const folder = temporaryFolder(t);
	const { concept: _, ...tables } = tinyOmop();
	const cdm = writeOmopCsv(join(folder, 'cdm'), tables);
	const named = tinyConcepts.map((row, i) => ({
		...row,
		concept_name: ['5" needle', '"Foo" bar', '"whole"', 'plain'][i % 4]!,
	}));
	const columns = Object.keys(named[0]!);
	const lines = [columns, ...named.map((row) => columns.map((column) => row[column as never] ?? ''))];
	writeFileSync(join(cdm, 'CONCEPT.csv'), lines.map((line) => `${line.join('\t')}\n`).join(''));
	const report = await importOmop(cdm, join(folder, 'meds'));
	t.match(report.csv.concept, ['tabs, quotes are text, utf-8']);
	t.ok((await medsRows(join(folder, 'meds'))).some(({ code }) => code === 'ICD10CM/E11.9'));
});

t.test('Latin-1 is read when it is said, wherever it is, and UTF-8 files beside it as what they are', async (t) => {
	const folder = temporaryFolder(t);
	const rows = [
		{
			person_id: 1,
			condition_start_date: '2020-01-01',
			condition_concept_id: 0,
			condition_source_value: 'Diab\u00e9te',
		},
		{
			person_id: 1,
			condition_start_date: '2020-01-02',
			condition_concept_id: 0,
			condition_source_value: 'n\u00e9\u00e9',
		},
	];
	for (const newline of ['\n', '\r\n', '']) {
		const cdm = writeOmopCsv(join(folder, `cdm${newline.length}`), { ...tinyOmop(), note: notes });
		const text = newline === '' ? omopCsv(rows).trimEnd() : omopCsv(rows).replaceAll('\n', newline);
		writeFileSync(join(cdm, 'CONDITION_OCCURRENCE.csv'), Buffer.from(text, 'latin1'));
		await t.rejects(importOmop(cdm, `${cdm}-no`), {
			message: /CONDITION_OCCURRENCE\.csv: must be UTF-8 but found other bytes at line 2; give the encoding latin-1/,
		});
		await importOmop(cdm, `${cdm}-meds`, { encoding: 'latin-1', notes: true });
		const found = await medsRows(`${cdm}-meds`);
		for (const { condition_source_value: code } of rows)
			t.ok(
				found.some((row) => row.code === `condition/${code}`),
				code,
			);
		t.ok(
			found.some(({ text_value }) => text_value?.includes('caf\u00e9')),
			'the notes are UTF-8',
		);
	}
});

t.test('notes are read whatever their length, and are no matter when nobody asks for them', async (t) => {
	const folder = temporaryFolder(t);
	const cdm = writeOmopCsv(join(folder, 'cdm'), tinyOmop());
	const long = 'long note, with "quotes"\n'.repeat(200_000);
	writeFileSync(join(cdm, 'NOTE.csv'), omopCsv([{ ...notes[0]!, note_text: long }, notes[1]!]));
	await importOmop(cdm, join(folder, 'meds'), { notes: true });
	const read = (await medsRows(join(folder, 'meds'))).find(({ text_value }) => (text_value?.length ?? 0) > 1e6);
	t.equal(read?.text_value?.length, long.length);
	for (const [i, content] of [
		'note_id,note_text\n1,"not closed',
		Buffer.from('note_id,note_text\n1,caf\u00e9\n', 'latin1'),
		'a,b\n1\n',
		'',
	].entries()) {
		writeFileSync(join(cdm, 'NOTE.csv'), content);
		const report = await importOmop(cdm, join(folder, `without${i}`));
		t.match(report.skipped.find(({ table }) => table === 'note')?.reason, /on demand/);
		await t.rejects(importOmop(cdm, join(folder, `with${i}`), { notes: true }), {
			code: 'EHR_JEPA_DATA',
			message: /NOTE\.csv/,
		});
	}
});

t.test('what is against its own form is refused with file and line', async (t) => {
	const folder = temporaryFolder(t);
	const cdm = writeOmopCsv(join(folder, 'cdm'), tinyOmop());
	const cases: readonly (readonly [string, RegExp])[] = [
		[
			'person_id,death_date\n1,2020-01-01\n2,2020-01-01,x\n',
			/DEATH\.csv: must be readable but found Line: 3 with 3 cells where the header has 2; export it without row names/,
		],
		['person_id,death_date\n1\n', /Line: 2 with 1 cells/],
		['person_id,death_date,note\n1,2020-01-01,"open\n', /Line: 2 with a quote that is not closed/],
		[
			'"","person_id","death_date"\n"1",1,2020-01-01\n',
			/must begin with a header of distinct column names but found no name in column 1; export it without row names/,
		],
	];
	for (const [text, message] of cases) {
		writeFileSync(join(cdm, 'DEATH.csv'), text);
		await t.rejects(importOmop(cdm, join(folder, 'out')), { code: 'EHR_JEPA_DATA', message });
	}
});

t.test('a vocabulary that does not know the concepts stops the import', async (t) => {
	const folder = temporaryFolder(t);
	const cdm = writeOmopCsv(join(folder, 'cdm'), { ...tinyOmop(), concept: tinyConcepts.slice(0, 2) });
	await t.rejects(importOmop(cdm, join(folder, 'out')), {
		message:
			/CONCEPT: must hold the concepts of all but 20\.0 % of the rows.* not in it \(.*measurement \d+ of \d+.*give the whole vocabulary/,
	});
	await importOmop(cdm, join(folder, 'allowed'), { maxUnknownConcepts: 1, maxDropped: 1 });
});
