import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Int64, TimestampMicrosecond, Utf8 } from 'apache-arrow';
import { copyToParquet } from '../../files/duckdb-files.js';
import { arrowSchemaOption, medsEventTypes } from '../meds-arrow-schema.js';
import { type Database, quoted } from '../query.js';
import { codedRows } from './concepts.js';
import type { Shard } from './persons.js';

/** Columns beyond those of MEDS. */
export const extensionColumns = {
	visit_id: new Int64(),
	table: new Utf8(),
	unit: new Utf8(),
	end: new TimestampMicrosecond(),
};

const rowsPerGroup = 122_880;

/**
 * Writes the events of one shard: whole subjects ascending, static rows first, then by time. What happened at one time is in the
 * order of {@link omopEvents}, then by the table's key; a hash of the row decides the rest, so that the bytes are the same
 * whatever the number of threads.
 *
 * @param staged - SQL of the shard's staged rows.
 * @param tableNames - Value of the column `table` by part.
 * @returns The file.
 */
export async function writeShard(
	database: Database,
	out: string,
	{ split, index }: Shard,
	staged: string,
	tableNames: readonly string[],
	unmapped: 'source-value' | 'drop',
): Promise<string> {
	const file = join(out, 'data', split, `${index}.parquet`);
	await mkdir(join(out, 'data', split), { recursive: true });
	const names = tableNames.map(quoted).join(', ');
	const rows = `SELECT e.part, e.key, e.subject_id, e.time, e.code, e.number AS numeric_value,
			coalesce(e.text, v.name, v.code, e.value_source) AS text_value, e.visit_id, [${names}][e.part + 1] AS "table",
			coalesce(u.unit, e.unit_text) AS unit, e."end"
		FROM (${codedRows(staged, unmapped)}) e
		LEFT JOIN concepts v ON v.id = e.value_concept LEFT JOIN concepts u ON u.id = e.unit_concept
		WHERE e.code IS NOT NULL`;
	const columns = ['subject_id', 'time', 'code', 'numeric_value', 'text_value', 'visit_id', '"table"', 'unit', '"end"'];
	await database.run(
		copyToParquet(
			`SELECT ${columns.join(', ')} FROM (${rows})
			ORDER BY subject_id, time NULLS FIRST, part, key, hash(code, numeric_value, text_value, visit_id, unit, "end")`,
			file,
			[
				'COMPRESSION zstd',
				`ROW_GROUP_SIZE ${rowsPerGroup}`,
				arrowSchemaOption({ ...medsEventTypes, ...extensionColumns }),
			],
		),
	);
	return file;
}
