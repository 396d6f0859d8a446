import { fileNameColumn, parquetFiles } from '../files/duckdb-files.js';
import { isBlankSql, isMissingWordSql } from './missing-words.js';
import { identifier } from './query.js';

/** Data files that have the same columns under the same names. */
export interface EventLayout {
	/** Absolute paths. */
	readonly files: readonly string[];
	/** The files' own name of each of their columns, by its name in MEDS 0.4 where it has one there. */
	readonly columns: Readonly<Record<string, string>>;
}

/** What events are read from: an opened data set, or the paths of files with the column names of MEDS 0.4. */
export type EventFiles = { readonly layouts: readonly EventLayout[] } | readonly string[];

/** Columns beyond the standard four. `unit` (or `units`) and `table` are those of OMOP-made MEDS. */
export type TextColumn = 'text_value' | 'unit' | 'table';

/**
 * SQL that reads all events with normalised columns, whatever their names and types in the files (docs/meds.md): subject_id,
 * time (microseconds, in UTC where the file has a zone; null is static), code, value (null where it is not finite),
 * filename, file_row_number; and those of `text`, null where a file has none.
 */
export function eventsSql(source: EventFiles, text: readonly TextColumn[] = []): string {
	return sourceLayouts(source)
		.map(({ files, columns }) => {
			const own = (name: string) => (Object.hasOwn(columns, name) ? identifier(columns[name]!) : undefined);
			const value = own('numeric_value');
			const texts = text.map((name) => {
				const column = own(name) ?? (name === 'unit' ? own('units') : undefined);
				if (column === undefined) return `NULL::VARCHAR AS ${identifier(name)}`;
				// Names of tables are given by the ETL; a text or a unit may be a word for none.
				if (name === 'table') return `${column}::VARCHAR AS ${identifier(name)}`;
				const word = isMissingWordSql(`${column}::VARCHAR`);
				const blank = name === 'unit' ? ` AND NOT ${isBlankSql(`${column}::VARCHAR`)}` : '';
				return `CASE WHEN NOT ${word}${blank} THEN ${column}::VARCHAR END AS ${identifier(name)}`;
			});
			// Not cast to TIMESTAMP first: that would bring a zoned time to the zone of this machine.
			return `SELECT ${own('subject_id')}::BIGINT AS subject_id, epoch_us(${own('time')}) AS time, ${own('code')}::VARCHAR AS code,
				${value === undefined ? 'NULL::FLOAT' : finiteSql(value)} AS value, ${[...texts, `${identifier(fileNameColumn)} AS filename`, 'file_row_number'].join(', ')}
				FROM ${parquetFiles(files, { rowNumbers: true, fileNames: true })}`;
		})
		.join('\nUNION ALL\n');
}

/** The layouts of some of a data set's files. */
export function layoutsOf(layouts: readonly EventLayout[], files: readonly string[]): EventLayout[] {
	const wanted = new Set(files);
	return layouts
		.map((layout) => ({ ...layout, files: layout.files.filter((file) => wanted.has(file)) }))
		.filter((layout) => layout.files.length > 0);
}

function sourceLayouts(source: EventFiles): readonly EventLayout[] {
	if ('layouts' in source) return source.layouts;
	const columns = { subject_id: 'subject_id', time: 'time', code: 'code', numeric_value: 'numeric_value' };
	return [{ files: source, columns }];
}

function finiteSql(column: string): string {
	return `CASE WHEN isfinite(${column}::FLOAT) THEN ${column}::FLOAT END`;
}
