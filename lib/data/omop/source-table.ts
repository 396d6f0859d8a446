import { basename } from 'node:path';
import { DataError } from '../../errors.js';
import { csvFiles, parquetFiles } from '../../files/duckdb-files.js';
import { type Database, quoted } from '../query.js';
import { readCsvHeader } from './csv-header.js';
import type { TableFiles } from './files.js';

export type CsvEncoding = 'utf-8' | 'latin-1';

/** A CDM table that can be read: its columns under lower-case names. */
export interface SourceTable {
	readonly table: string;
	readonly files: TableFiles;
	/** SQL of all its rows. */
	readonly sql: string;
	/** Types of DuckDB by lower-case name; text for every column of a CSV file. */
	readonly types: ReadonlyMap<string, string>;
}

/** @throws {DataError} Names the file that has no header or is no parquet file. */
export async function openSourceTable(
	database: Database,
	files: TableFiles,
	encoding: CsvEncoding,
): Promise<SourceTable> {
	const sql = files.format === 'csv' ? await csvSql(files, encoding) : parquetSql(files);
	const described = await readableTable(files, () => database.rows(`DESCRIBE ${sql}`));
	const types = new Map(
		described.map(({ column_name, column_type }) => [String(column_name).toLowerCase(), String(column_type)]),
	);
	return { table: files.table, files, sql, types };
}

function parquetSql({ paths }: TableFiles): string {
	return `SELECT * FROM ${parquetFiles(paths, { unionByName: true })}`;
}

/** Every column as text: a guess from the first rows would break on the row that is different. */
async function csvSql({ paths }: TableFiles, encoding: CsvEncoding): Promise<string> {
	const dialects = new Map<string, string[]>();
	for (const path of paths) {
		const { delimiter, columns } = await readCsvHeader(path, basename(path));
		const types = columns.map((column) => `${quoted(column)}: 'VARCHAR'`);
		// OHDSI's vocabulary files are tab-separated and hold bare quotes.
		const quotes = delimiter === '\t' ? `quote = '', escape = ''` : `quote = '"', escape = '"'`;
		const dialect = `columns = {${types.join(', ')}}, delim = ${quoted(delimiter)}, ${quotes}`;
		dialects.set(dialect, [...(dialects.get(dialect) ?? []), path]);
	}
	return [...dialects]
		.map(
			([dialect, files]) =>
				`SELECT * FROM ${csvFiles(files, [dialect, 'header = true', `nullstr = ['', 'NULL', '\\N']`, `encoding = ${quoted(encoding)}`])}`,
		)
		.join(' UNION ALL BY NAME ');
}

/** Says which table a failed query was about, and in words what is wrong with a text file. */
export async function readableTable<T>(files: TableFiles, work: () => Promise<T>): Promise<T> {
	try {
		return await work();
	} catch (error) {
		if (!(error instanceof DataError) || !(error.cause instanceof Error)) throw error;
		const { message } = error.cause;
		const file = /file ?=? ?"?([^\s"]+\.(?:csv|csv\.gz|parquet))/i.exec(message)?.[1];
		const name = file === undefined ? files.paths.map((path) => basename(path)).join(', ') : basename(file);
		if (/unicode|utf-?8/i.test(message)) {
			const line = /on Line: (\d+)/i.exec(message)?.[1];
			throw new DataError(
				'omop',
				{
					file: name,
					rule: 'must be UTF-8',
					value: line === undefined ? 'other bytes' : `other bytes at line ${line}`,
					fix: 'give the encoding latin-1, or convert the file with iconv',
				},
				{ cause: error },
			);
		}
		// A line of the data may hold patient text, which must not reach a message.
		const reason = message
			.split('\n')
			.filter((line) => line.trim() !== '' && !/^(Original Line|Possible)/.test(line))
			.slice(0, 2)
			.join(' ');
		throw new DataError('omop', { file: name, rule: 'must be readable', value: reason }, { cause: error });
	}
}
