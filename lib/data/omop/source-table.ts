import { mkdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { DataError } from '../../errors.js';
import { csvFiles, parquetFiles } from '../../files/duckdb-files.js';
import { parquetColumns } from '../parquet-columns.js';
import { type Database, identifier, quoted, reading } from '../query.js';
import { type CsvForm, csvForm } from './csv-form.js';
import { mustBeRewritten, rewriteCsv } from './csv-rewrite.js';
import type { TableFiles } from './files.js';

/** A CDM table that can be read: its columns under lower-case names. */
export interface SourceTable {
	readonly table: string;
	readonly files: TableFiles;
	/** SQL of all its rows. */
	readonly sql: string;
	/** Types of DuckDB by lower-case name; text for every column of a CSV file. */
	readonly types: ReadonlyMap<string, string>;
	/** How its CSV files are written, in words. */
	readonly forms: readonly string[];
}

export interface OpenOptions {
	/** Of CSV files that are not UTF-8. */
	readonly encoding: 'utf-8' | 'latin-1';
	/** For files that DuckDB cannot read as they are. */
	readonly workFolder: string;
}

/** @throws {DataError} Names the file that has no header, that is against its form, or that is no parquet file. */
export async function openSourceTable(
	database: Database,
	files: TableFiles,
	options: OpenOptions,
): Promise<SourceTable> {
	if (files.format === 'parquet')
		for (const path of files.paths) await parquetColumns(database, 'omop', basename(path), path);
	const { sql, forms } =
		files.format === 'csv'
			? await csvSource(files, options)
			: { sql: `SELECT * FROM ${parquetFiles(files.paths, { unionByName: true })}`, forms: [] };
	const described = await readableTable(files, () => database.rows(`DESCRIBE ${sql}`));
	const types = new Map<string, string>();
	for (const { column_name, column_type } of described) {
		const type = String(column_type);
		const empty = isNumber(type) && /_source_value$|_code$/.test(String(column_name).toLowerCase());
		const nulls = empty && !(await hasValues(database, files, sql, String(column_name)));
		types.set(String(column_name).toLowerCase(), nulls ? '"NULL"' : type);
	}
	return { table: files.table, files, sql, types, forms };
}

function isNumber(type: string): boolean {
	return /^(U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|FLOAT|DOUBLE|DECIMAL.*)$/.test(type);
}

/** pandas writes a column of nulls as numbers. */
async function hasValues(database: Database, files: TableFiles, sql: string, column: string): Promise<boolean> {
	const [row] = await readableTable(files, () =>
		database.rows(`SELECT count(${identifier(column)})::DOUBLE AS n FROM (${sql})`),
	);
	return Number(row?.n) > 0;
}

// DuckDB's default; a record that is longer is refused.
const usualRecord = 2_000_000;

/** Every column as text: a guess from the first rows would break on the row that is different. */
async function csvSource({ table, paths }: TableFiles, { encoding, workFolder }: OpenOptions) {
	const groups = new Map<string, { readonly options: readonly string[]; readonly files: string[] }>();
	const forms = new Set<string>();
	for (const [i, path] of paths.entries()) {
		const name = basename(path);
		const form = await csvForm(path, name, encoding);
		forms.add(formText(form));
		let readable = path;
		if (mustBeRewritten(form)) {
			await mkdir(workFolder, { recursive: true });
			readable = join(workFolder, `${table}-${i}.csv`);
			await rewriteCsv(path, name, form, readable);
		}
		const options = dialectSql(form);
		const dialect = options.join(', ');
		const group = groups.get(dialect) ?? { options, files: [] };
		group.files.push(readable);
		groups.set(dialect, group);
	}
	const sql = [...groups.values()]
		.map(({ options, files }) => `SELECT * FROM ${csvFiles(files, options)}`)
		.join(' UNION ALL BY NAME ');
	return { sql, forms: [...forms] };
}

function dialectSql({ delimiter, quoting, columns, longestRecord }: CsvForm): string[] {
	const types = columns.map((column) => `${quoted(column)}: 'VARCHAR'`);
	const escaping = quoting === 'backslash' ? '\\' : '"';
	const long = 2 * longestRecord > usualRecord ? 2 * longestRecord : undefined;
	return [
		`columns = {${types.join(', ')}}`,
		`delim = ${quoted(delimiter)}`,
		...(quoting === 'none' ? ["quote = ''", "escape = ''"] : [`quote = '"'`, `escape = ${quoted(escaping)}`]),
		'header = true',
		// DuckDB takes no escape that is in a word for null; such a cell is a word for none all the same.
		quoting === 'backslash' ? "nullstr = ['', 'NULL']" : `nullstr = ['', 'NULL', '\\N']`,
		...(long === undefined ? [] : [`max_line_size = ${long}`, `buffer_size = ${Math.max(32_000_000, 4 * long)}`]),
	];
}

/** `tab-separated, quotes as text, UTF-8`. */
function formText({ delimiter, quoting, encoding, lineEnds }: CsvForm): string {
	const separated =
		{ '\t': 'tabs', ',': 'commas', ';': 'semicolons', '|': 'bars', ' ': 'spaces' }[delimiter] ?? delimiter;
	const quotes = { doubled: 'text in quotes', backslash: 'quotes in text as \\"', none: 'quotes are text' }[quoting];
	const ends = lineEnds === 'mixed' ? ', mixed line ends' : '';
	return `${separated}, ${quotes}, ${encoding}${ends}`;
}

/** Says which table a failed query was about. */
export async function readableTable<T>(files: TableFiles, work: () => Promise<T>): Promise<T> {
	const names = files.paths.map((path) => basename(path));
	return reading('omop', (found) => names.find((name) => found.endsWith(name)) ?? names.join(', '), work);
}

/** Rows of a table that is not imported; undefined when its files cannot be counted, which is no reason to refuse the rest. */
export async function countRows(
	database: Database,
	files: TableFiles,
	encoding: OpenOptions['encoding'],
): Promise<number | undefined> {
	try {
		if (files.format === 'parquet') {
			const [row] = await database.rows(`SELECT count(*)::DOUBLE AS n FROM ${parquetFiles(files.paths)}`);
			return Number(row?.n);
		}
		let rows = 0;
		for (const path of files.paths) rows += (await csvForm(path, basename(path), encoding)).rows;
		return rows;
	} catch (error) {
		if (error instanceof DataError) return undefined;
		throw error;
	}
}
