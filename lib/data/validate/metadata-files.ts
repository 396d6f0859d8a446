import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { DataError } from '../../errors.js';
import { parquetFiles } from '../../files/duckdb-files.js';
import { type Database, identifier } from '../query.js';
import { arrowTypes } from './arrow-types.js';
import { readableRule, unreadable } from './event-rules.js';
import type { Findings, Rule } from './rule.js';
import { checkSchema, type FileSchema, schemas } from './schemas.js';

const missing = (name: 'codes' | 'subject_splits', consequence: string): Rule => ({
	name: `${name.replace('_', '-')}-missing`,
	severity: 'warning',
	basis: 'older-meds',
	unit: 'files',
	message: `MEDS 0.4 has metadata/${name}.parquet: ${consequence}`,
});
const codesMissing = missing('codes', 'without it codes have no description');
const splitsMissing = missing('subject_splits', 'without it each reader draws splits of its own');

export const metadataRules: readonly Rule[] = [codesMissing, splitsMissing];

/** Checks metadata/codes.parquet and fills the table `codes`. Returns whether it could be read. */
export async function loadCodeList(database: Database, directory: string, findings: Findings): Promise<boolean> {
	return load(database, directory, 'codes', schemas.codes, codesMissing, findings, (columns) => [
		`${identifier(columns.get('code')!)}::VARCHAR`,
	]);
}

/** Checks metadata/subject_splits.parquet and fills the table `splits`. Returns whether it could be read. */
export async function loadSplits(database: Database, directory: string, findings: Findings): Promise<boolean> {
	return load(database, directory, 'splits', schemas.splits, splitsMissing, findings, (columns) => [
		`${identifier(columns.get('subject_id')!)}::BIGINT`,
		`${identifier(columns.get('split')!)}::VARCHAR`,
	]);
}

async function load(
	database: Database,
	directory: string,
	table: 'codes' | 'splits',
	schema: FileSchema,
	missingRule: Rule,
	findings: Findings,
	select: (columns: ReadonlyMap<string, string>) => string[],
): Promise<boolean> {
	const name = table === 'codes' ? 'metadata/codes.parquet' : 'metadata/subject_splits.parquet';
	const path = join(directory, name);
	try {
		await stat(path);
	} catch {
		findings.add(missingRule, 1, { file: name });
		return false;
	}
	try {
		const columns = checkSchema(name, await arrowTypes(database, 'validate', name, path), schema, findings);
		if (columns === undefined) return false;
		await database.run(
			`INSERT INTO ${table} SELECT ${select(columns).join(', ')}, file_row_number
			FROM ${parquetFiles(path, { rowNumbers: true })}`,
		);
		return true;
	} catch (error) {
		if (!(error instanceof DataError)) throw error;
		findings.add(readableRule, 1, { file: name, ...unreadable(error) });
		return false;
	}
}
