import { resolve } from 'node:path';
import { DataError } from '../errors.js';
import { quoted } from './sql-text.js';

/**
 * How files are named to DuckDB: the only place that does. DuckDB takes a path for a pattern (`cohort[1]` reads `cohort1`)
 * and any `key=value` folder above a file for a column of it (below `split=train/` every patient is in train).
 */

export interface ParquetOptions {
	/** Adds the column `file_row_number`, which the files themselves must not have ({@link rowNumberColumn}). */
	readonly rowNumbers?: boolean;
	/** Adds the column {@link fileNameColumn}, with names of {@link nameInDuckdb}. */
	readonly fileNames?: boolean;
	/** Files with different columns: what a file lacks is null. */
	readonly unionByName?: boolean;
}

/** Name of the files' own that no reader of row numbers can bear: DuckDB has no other name for its own. */
export const rowNumberColumn = 'file_row_number';
/** DuckDB's own name for it, `filename`, may be that of a column of the files. */
export const fileNameColumn = 'ehr_jepa file';

/** SQL of the rows of parquet files: those files and no others, the columns that are in them and no others. */
export function parquetFiles(
	paths: string | readonly string[],
	{ rowNumbers = false, fileNames = false, unionByName = false }: ParquetOptions = {},
): string {
	const options = [
		...(rowNumbers ? [`${rowNumberColumn} = true`] : []),
		...(fileNames ? [`filename = ${quoted(fileNameColumn)}`] : []),
		...(unionByName ? ['union_by_name = true'] : []),
	];
	return `read_parquet(${[fileList(paths), 'hive_partitioning = false', ...options].join(', ')})`;
}

/** How DuckDB names a file in what it says of it (`file_name` of a footer, {@link fileNameColumn} of a row). */
export const nameInDuckdb = (path: string): string => resolve(path);

/** SQL of what the footers of parquet files say; files have the names of {@link nameInDuckdb}. */
export function parquetFooters(kind: 'metadata' | 'schema' | 'kv_metadata', paths: string | readonly string[]): string {
	return `parquet_${kind}(${fileList(paths)})`;
}

/** SQL of the rows of CSV files. @param options - Options of DuckDB's read_csv, all of them: nothing is guessed. */
export function csvFiles(paths: string | readonly string[], options: readonly string[]): string {
	return `read_csv(${[fileList(paths), 'auto_detect = false', 'hive_partitioning = false', ...options].join(', ')})`;
}

/** SQL that writes the rows of a query to a parquet file, or with `PARTITION_BY` to a folder. */
export function copyToParquet(select: string, path: string, options: readonly string[] = []): string {
	return `COPY (${select}) TO ${quoted(resolve(path))} (${['FORMAT parquet', ...options].join(', ')})`;
}

/** Option of {@link copyToParquet} that puts pairs into the file's footer; none where there are no pairs. */
export function keyValueMetadata(pairs: Readonly<Record<string, string>>): string[] {
	const list = Object.entries(pairs).map(([key, value]) => `${quoted(key)}: ${quoted(value)}`);
	return list.length === 0 ? [] : [`KV_METADATA {${list.join(', ')}}`];
}

function fileList(paths: string | readonly string[]): string {
	return `[${(typeof paths === 'string' ? [paths] : paths).map((path) => quoted(exactPattern(path))).join(', ')}]`;
}

/**
 * The pattern that only this path matches. Absolute, so that no path begins with `~` or looks like an address.
 *
 * @throws {DataError} For a path with `\` beside `[`, `*` or `?`: DuckDB takes the backslash for a separator then.
 */
function exactPattern(path: string): string {
	const whole = nameInDuckdb(path);
	if (!/[[*?]/.test(whole)) return whole;
	if (whole.includes('\\')) {
		throw new DataError('files', {
			file: whole,
			rule: 'must not have both a backslash and one of [ * ? in its path',
			value: 'both',
			fix: 'rename the folder or the file',
		});
	}
	return whole.replace(/[[*?]/g, '[$&]');
}
