import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { copyToParquet, parquetFiles } from '../../files/duckdb-files.js';
import { writeWhole } from '../../files/whole.js';
import { packageVersion } from '../../package-version.js';
import type { Database } from '../query.js';
import { splitOfShard } from './persons.js';
import type { OmopCdm, OmopImportReport } from './report.js';
import { extensionColumns } from './write-events.js';

export const etl = { name: 'ehr-jepa import-omop', version: packageVersion } as const;

/** Writes codes.parquet: every code of the data, its concept's name, and the codes above it. */
export async function writeCodes(
	database: Database,
	out: string,
	files: readonly string[],
): Promise<{ codes: number; withoutDescription: number }> {
	await mkdir(join(out, 'metadata'), { recursive: true });
	await database.run(
		`CREATE TABLE codes AS SELECT code, coalesce(description, CASE code WHEN 'MEDS_BIRTH' THEN 'Birth' WHEN 'MEDS_DEATH' THEN 'Death' END) AS description, parent_codes
		FROM (SELECT DISTINCT code FROM ${parquetFiles(files)})
		LEFT JOIN (SELECT code, min(name) AS description FROM concepts GROUP BY code) USING (code)
		LEFT JOIN (
			SELECT c.code, list_sort(list(DISTINCT p.code)) AS parent_codes
			FROM concepts c JOIN parents r ON r.child = c.id JOIN concepts p ON p.id = r.parent
			WHERE p.code <> c.code GROUP BY c.code
		) USING (code)`,
	);
	await copySorted(database, 'SELECT * FROM codes ORDER BY code', join(out, 'metadata', 'codes.parquet'));
	const [row] = await database.rows('SELECT count(*)::DOUBLE AS n, count(description)::DOUBLE AS described FROM codes');
	return { codes: Number(row?.n), withoutDescription: Number(row?.n) - Number(row?.described) };
}

export async function writeSplits(database: Database, out: string): Promise<void> {
	await copySorted(
		database,
		`SELECT subject_id, ${splitOfShard} AS split FROM persons ORDER BY subject_id`,
		join(out, 'metadata', 'subject_splits.parquet'),
	);
}

/** Writes dataset.json; nothing in it but the source and this package, so that equal input gives equal bytes. */
export async function writeDatasetJson(out: string, cdm: OmopCdm): Promise<void> {
	const dataset = {
		dataset_name: cdm.name ?? 'OMOP CDM',
		...(cdm.releaseDate === null ? {} : { dataset_version: cdm.releaseDate }),
		etl_name: etl.name,
		etl_version: etl.version,
		meds_version: '0.4.0',
		raw_source_id_columns: ['visit_id'],
		other_extension_columns: Object.keys(extensionColumns).filter((name) => name !== 'visit_id'),
	};
	await writeWhole(join(out, 'metadata', 'dataset.json'), `${JSON.stringify(dataset, undefined, '\t')}\n`);
}

/** Writes the report beside dataset.json: MEDS has no place for it. How the files were written is left out, so that it is the same for CSV and parquet. */
export async function writeReport(out: string, report: OmopImportReport): Promise<void> {
	await writeWhole(
		join(out, 'metadata', 'omop-import.json'),
		`${JSON.stringify({ ...report, csv: undefined }, undefined, '\t')}\n`,
	);
}

async function copySorted(database: Database, select: string, file: string): Promise<void> {
	await database.run(copyToParquet(select, file, ['COMPRESSION zstd']));
}
