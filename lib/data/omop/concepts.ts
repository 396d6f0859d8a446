import { DataError } from '../../errors.js';
import type { Database } from '../query.js';
import { Columns } from './columns.js';
import { readableTable, type SourceTable } from './source-table.js';

/** What a parent of a code is: its standard concept, or the concept above it. */
const parentRelations = "('Maps to', 'Is a')";

/** SQL of the concepts that the staged rows name. */
function usedIds(staged: string): string {
	return ['source_concept', 'concept', 'value_concept', 'unit_concept']
		.map((column) => `SELECT DISTINCT ${column} AS id FROM ${staged} WHERE ${column} IS NOT NULL`)
		.join(' UNION ');
}

/**
 * Makes the tables `concepts` (id, code, name, unit) and `parents` (child, parent) of what the staged rows name: a whole
 * vocabulary is never held.
 *
 * @param staged - SQL of the staged rows.
 * @param concept - Absent: a code is `OMOP_CONCEPT_ID/<id>`.
 * @returns Rows of CONCEPT_RELATIONSHIP with an id that cannot be read.
 */
export async function loadConcepts(
	database: Database,
	staged: string,
	concept: SourceTable | undefined,
	relationship: SourceTable | undefined,
): Promise<number> {
	await database.run(`CREATE TABLE used AS ${usedIds(staged)}`);
	await database.run('CREATE TABLE parents (child BIGINT, parent BIGINT)');
	if (concept === undefined) {
		await database.run(
			`CREATE TABLE concepts AS SELECT id, 'OMOP_CONCEPT_ID/' || id AS code, NULL::VARCHAR AS name,
			'OMOP_CONCEPT_ID/' || id AS unit FROM used`,
		);
		return 0;
	}
	const unreadable = relationship === undefined ? 0 : await loadParents(database, relationship);
	const columns = new Columns(concept);
	const id = columns.id([columns.require('concept_id')]);
	const vocabulary = columns.code([columns.require('vocabulary_id')]);
	const code = columns.code([columns.require('concept_code')]);
	await refuseUnreadableIds(database, concept, columns);
	const name = columns.text(['concept_name']);
	await readableTable(concept.files, () =>
		database.run(
			// A concept that is there twice is taken once, the same on every run.
			`CREATE TABLE concepts AS
			SELECT id, min(v || '/' || c) AS code, min(n) AS name, min(CASE WHEN v = 'UCUM' THEN c ELSE v || '/' || c END) AS unit
			FROM (SELECT ${id} AS id, ${vocabulary} AS v, ${code} AS c, ${name} AS n FROM (${concept.sql}))
			WHERE v IS NOT NULL AND c IS NOT NULL AND id IN (SELECT id FROM used UNION SELECT parent FROM parents)
			GROUP BY id`,
		),
	);
	return unreadable;
}

/** @throws {DataError} For concept ids that are no whole numbers: every code of theirs would be lost. */
async function refuseUnreadableIds(database: Database, concept: SourceTable, columns: Columns): Promise<void> {
	const unreadable = columns.unreadableId([['concept_id']]);
	const [row] = await readableTable(concept.files, () =>
		database.rows(`SELECT (count(*) FILTER (${unreadable}))::DOUBLE AS n FROM (${concept.sql})`),
	);
	if (Number(row?.n) === 0) return;
	throw new DataError('omop', {
		file: concept.files.table.toUpperCase(),
		column: 'concept_id',
		rule: 'must hold whole numbers that no float has rounded',
		value: `${row?.n} rows with something else`,
		fix: 'export the ids as integers or as text',
	});
}

async function loadParents(database: Database, relationship: SourceTable): Promise<number> {
	const columns = new Columns(relationship);
	const child = columns.id([columns.require('concept_id_1')]);
	const parent = columns.id([columns.require('concept_id_2')]);
	await readableTable(relationship.files, () =>
		database.run(
			`INSERT INTO parents SELECT DISTINCT child, parent FROM (
				SELECT ${child} AS child, ${parent} AS parent, ${columns.text([columns.require('relationship_id')])} AS relation,
				${columns.text(['invalid_reason'])} AS invalid FROM (${relationship.sql}))
			WHERE relation IN ${parentRelations} AND invalid IS NULL AND child <> parent AND child IN (SELECT id FROM used)`,
		),
	);
	const unreadable = columns.unreadableId([['concept_id_1'], ['concept_id_2']]);
	const [row] = await readableTable(relationship.files, () =>
		database.rows(`SELECT (count(*) FILTER (${unreadable}))::DOUBLE AS n FROM (${relationship.sql})`),
	);
	return Number(row?.n ?? 0);
}

// R writes a number with an exponent where that is shorter, and in full elsewhere.
const roundCode = '/-?([0-9]+|[1-9]e[+]0[5-9]|[1-9]e[+]1[0-5])$';
const floatCode = '/-?[0-9]+[.]0$';

/**
 * Makes the table `float_codes`: the parts whose source values are all whole numbers as floats write them: `.0` by pandas
 * where a column of numbers has a null, `1e+05` by R. One value with `.0` among others, such as ICD-9's 250.0, is what it is.
 *
 * @returns The parts.
 */
export async function findFloatCodes(database: Database, staged: string): Promise<number[]> {
	await database.run(
		`CREATE TABLE float_codes AS SELECT part FROM ${staged} WHERE last_code IS NOT NULL AND NOT has_fixed_code
		GROUP BY part HAVING bool_and(regexp_matches(last_code, '${floatCode}')) AND bool_or(regexp_matches(last_code, '[.]0$'))
			OR bool_and(regexp_matches(last_code, '${roundCode}')) AND bool_or(regexp_matches(last_code, 'e[+][0-9]+$'))`,
	);
	return (await database.rows('SELECT part FROM float_codes ORDER BY part')).map(({ part }) => Number(part));
}

/** SQL: the staged rows with the code of each, null where none is. */
export function codedRows(staged: string, unmapped: 'source-value' | 'drop'): string {
	const digits = `regexp_extract(e.last_code, '[^/]*$')`;
	const whole = `CASE WHEN ${digits} LIKE '%e+%' THEN regexp_replace(e.last_code, '[^/]*$', '') || TRY_CAST(${digits} AS DOUBLE)::BIGINT
		ELSE regexp_replace(e.last_code, '[.]0$', '') END`;
	const last = `CASE WHEN e.part IN (SELECT part FROM float_codes) THEN ${whole} ELSE e.last_code END`;
	return `SELECT e.*, s.code AS source_code, c.code AS concept_code,
		coalesce(s.code, c.code, ${unmapped === 'drop' ? 'CASE WHEN e.has_fixed_code THEN e.last_code END' : last}) AS code
		FROM ${staged} e LEFT JOIN concepts s ON s.id = e.source_concept LEFT JOIN concepts c ON c.id = e.concept`;
}
