import { DataError } from '../errors.js';
import { parquetFiles, parquetFooters, rowNumberColumn } from '../files/duckdb-files.js';
import { columnNames } from './column-names.js';
import { type Database, reading } from './query.js';

/** A column of a parquet file. */
export interface ParquetColumn {
	readonly name: string;
	/** As DuckDB prints it. */
	readonly type: string;
	/** Its row of DuckDB's `parquet_schema`. */
	readonly element: Readonly<Record<string, unknown>>;
}

/**
 * Columns of a parquet file, in order.
 *
 * @param scope - Of the reader, for messages.
 * @param file - The name that messages have.
 * @throws {DataError} For a file that cannot be read, and for names of columns that cannot be told apart.
 */
export async function parquetColumns(
	database: Database,
	scope: string,
	file: string,
	path: string,
): Promise<ParquetColumn[]> {
	return reading(scope, file, async () => {
		const described = await database.rows(`DESCRIBE SELECT * FROM ${parquetFiles(path)}`);
		const elements = topLevel(await database.rows(`SELECT * FROM ${parquetFooters('schema', path)}`));
		refuseTwice(
			scope,
			file,
			elements.map(({ name }) => String(name)),
		);
		return elements.map((element, i) => ({
			name: String(element.name),
			type: String(described[i]?.column_type),
			element,
		}));
	});
}

const kinds = {
	'a whole number': /^U?(BIG|SMALL|TINY)?INT(EGER)?$/,
	'a number': /^(FLOAT|DOUBLE)$/,
	'a boolean': /^BOOLEAN$/,
	'a timestamp': /^TIMESTAMP/,
	'a text': /^(VARCHAR|ENUM.*)$/,
	'a list of numbers': /^(FLOAT|DOUBLE|U?(BIG|SMALL|TINY|HUGE)?INT(EGER)?|DECIMAL\(\d+,\d+\))\[\d*\]$/,
} as const;
export type ColumnKind = keyof typeof kinds;

/**
 * Checks that a file has columns of some kinds.
 *
 * @param file - A path; messages name it.
 * @param wanted - Kind by name.
 * @returns All columns that it has.
 * @throws {DataError} For one that is missing or of another type; as {@link parquetColumns}.
 */
export async function requireColumns(
	database: Database,
	scope: string,
	file: string,
	wanted: Readonly<Record<string, ColumnKind>>,
): Promise<readonly ParquetColumn[]> {
	const found = await parquetColumns(database, scope, file, file);
	refuseRowNumbers(scope, file, found);
	for (const [column, kind] of Object.entries(wanted)) {
		const type = found.find(({ name }) => name === column)?.type;
		if (type !== undefined && kinds[kind].test(type)) continue;
		const others = columnNames(found.map(({ name }) => name));
		throw new DataError(scope, {
			file,
			column,
			rule: `must be ${kind}`,
			value: type ?? `missing, beside ${others}`,
		});
	}
	return found;
}

/** The elements of a schema that are columns: what is inside of lists and structs comes after each. */
function topLevel(elements: readonly Readonly<Record<string, unknown>>[]): Readonly<Record<string, unknown>>[] {
	const columns: Readonly<Record<string, unknown>>[] = [];
	let at = 1;
	const skip = (): void => {
		const children = Number(elements[at++]?.num_children ?? 0);
		for (let i = 0; i < children; i++) skip();
	};
	while (at < elements.length) {
		columns.push(elements[at]!);
		skip();
	}
	return columns;
}

/**
 * DuckDB does not tell capitals apart in names, and would read one of the two.
 *
 * @throws {DataError}
 */
function refuseTwice(scope: string, file: string, names: readonly string[]): void {
	const first = new Map<string, string>();
	for (const name of names) {
		const before = first.get(name.toLowerCase());
		if (before !== undefined) {
			throw new DataError(scope, {
				file,
				column: before,
				rule: 'must be there once, capitals aside',
				value: before === name ? 'the same name twice' : `${name} beside it`,
				fix: 'rename or remove one of the two',
			});
		}
		first.set(name.toLowerCase(), name);
	}
}

/** For who reads rows with their numbers. @throws {DataError} */
export function refuseRowNumbers(scope: string, file: string, columns: readonly ParquetColumn[]): void {
	const found = columns.find(({ name }) => name.toLowerCase() === rowNumberColumn)?.name;
	if (found === undefined) return;
	throw new DataError(scope, {
		file,
		column: found,
		rule: 'must not be there: DuckDB, by which files are read, has a column of that name of its own',
		fix: 'rename or remove the column',
	});
}
