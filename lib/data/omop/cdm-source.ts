import { DataError } from '../../errors.js';
import type { Database } from '../query.js';
import { Columns } from './columns.js';
import type { OmopCdm } from './report.js';
import { readableTable, type SourceTable } from './source-table.js';

/** Columns that one release has and the other has not. */
const telltales: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
	'5.4': {
		visit_occurrence: ['discharged_to_concept_id', 'admitted_from_concept_id'],
		visit_detail: ['discharged_to_concept_id', 'parent_visit_detail_id'],
		procedure_occurrence: ['procedure_end_date'],
		measurement: ['measurement_event_id'],
		cdm_source: ['cdm_version_concept_id'],
	},
	'5.3': {
		visit_occurrence: ['discharge_to_concept_id', 'admitting_source_concept_id'],
		visit_detail: ['discharge_to_concept_id', 'visit_detail_parent_id'],
	},
};

/**
 * Release, name and dates of the CDM from CDM_SOURCE, else the release by its column names. The import does not depend on it:
 * columns are looked up by either release's name.
 *
 * @throws {DataError} For CDM 6, which has other tables.
 */
export async function describeCdm(
	database: Database,
	tables: ReadonlyMap<string, SourceTable>,
	directory: string,
): Promise<OmopCdm> {
	const source = tables.get('cdm_source');
	const stated = source === undefined ? undefined : await statedVersion(database, source);
	if (stated?.version?.startsWith('6') === true) {
		throw new DataError('omop', {
			file: directory,
			rule: 'must be an OMOP CDM 5',
			value: `cdm_version ${stated.version}`,
			fix: 'export it as 5.4: version 6 has no DEATH table',
		});
	}
	const { version = null, name = null, releaseDate = null, vocabularyVersion = null } = stated ?? {};
	if (version !== null) return { version, versionFrom: 'cdm_source', name, releaseDate, vocabularyVersion };
	const byColumns = Object.entries(telltales).find(([, tablesOf]) =>
		Object.entries(tablesOf).some(([table, columns]) =>
			columns.some((column) => tables.get(table)?.types.has(column) === true),
		),
	)?.[0];
	return {
		version: byColumns ?? null,
		versionFrom: byColumns === undefined ? 'unknown' : 'columns',
		name,
		releaseDate,
		vocabularyVersion,
	};
}

async function statedVersion(database: Database, source: SourceTable) {
	const columns = new Columns(source);
	const joined = (column: string) =>
		`string_agg(DISTINCT ${columns.text([column])}, '|' ORDER BY ${columns.text([column])})`;
	const [row] = await readableTable(source.files, () =>
		database.rows(
			`SELECT ${joined('cdm_version')} AS version, ${joined('cdm_source_name')} AS name,
			${joined('cdm_release_date')} AS release_date, ${joined('vocabulary_version')} AS vocabulary_version
			FROM (${source.sql})`,
		),
	);
	const text = (value: unknown) => (typeof value === 'string' ? value : null);
	return {
		// `v5.4.0`, `5.4`, `CDM v5.3.1`
		version: /(\d+\.\d+)/.exec(text(row?.version) ?? '')?.[1] ?? null,
		name: text(row?.name),
		releaseDate: text(row?.release_date),
		vocabularyVersion: text(row?.vocabulary_version),
	};
}
