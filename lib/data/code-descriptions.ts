import { parquetFiles } from '../files/duckdb-files.js';
import { type Database, identifier, reading } from './query.js';
import { arrowTypes } from './validate/arrow-types.js';
import { Findings } from './validate/rule.js';
import { checkSchema, schemas } from './validate/schemas.js';
import { refuseErrors } from './validate/to-reader.js';

const name = 'metadata/codes.parquet';
/** What else is in it, and of what type, is no reason to refuse it. */
const { code, description } = schemas.codes.columns;
const read = { code, description };

/**
 * What codes mean, by `metadata/codes.parquet`; empty where it has no descriptions.
 *
 * @param file - Its path; null where there is none.
 * @throws {DataError} When it breaks the schema.
 */
export async function readDescriptions(database: Database, file: string | null): Promise<Map<string, string>> {
	const result = new Map<string, string>();
	if (file === null) return result;
	const findings = new Findings();
	const types = await arrowTypes(database, 'meds', name, file);
	const columns = checkSchema(name, types, { closed: false, columns: read }, findings);
	refuseErrors(findings);
	const [own, meaning] = [columns?.get('code'), columns?.get('description')];
	if (own === undefined || meaning === undefined) return result;
	await reading('meds', name, async () => {
		for await (const chunk of database.stream(
			`SELECT code, description FROM (SELECT ${identifier(own)}::VARCHAR AS code, ${identifier(meaning)}::VARCHAR AS description
			FROM ${parquetFiles(file)}) WHERE code IS NOT NULL AND description <> ''`,
		)) {
			const [codes, descriptions] = [chunk.getColumnVector(0), chunk.getColumnVector(1)];
			for (let row = 0; row < chunk.rowCount; row++)
				result.set(String(codes.getItem(row)), String(descriptions.getItem(row)));
		}
	});
	return result;
}
