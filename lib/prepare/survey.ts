import { join } from 'node:path';
import { type EventPart, type EventSource, planParts, presentColumns } from '../data/event-parts.js';
import { eventsSql, type MedsFiles } from '../data/meds.js';
import type { Database } from '../data/query.js';
import { copyToParquet } from '../files/duckdb-files.js';
import { type ValueForm, valueForms } from './lost-values.js';
import type { PrepareConfig } from './prepare-options.js';

/** What is known of the events before they are read one by one. */
export interface Survey {
	readonly parts: readonly EventPart[];
	readonly source: EventSource;
	readonly codes: readonly string[];
	/** (codes,) events. */
	readonly events: Float64Array;
	readonly units: readonly string[];
	readonly codesWithValues: number;
	readonly values: number;
	readonly textOnly: number;
	readonly forms: readonly ValueForm[];
}

/**
 * Counts events by code and lists the strings that become numbers, in `names.parquet` of the folder.
 *
 * @param folder - Of the unfinished store.
 */
export async function surveyEvents(
	database: Database,
	dataset: MedsFiles,
	folder: string,
	{ eventsPerPart, tokens }: PrepareConfig,
): Promise<Survey> {
	const { layouts } = dataset;
	const present = presentColumns(layouts);
	const parts = await planParts(database, dataset, eventsPerPart);
	const textOnly = present.text ? "count(*) FILTER (value IS NULL AND coalesce(text_value, '') <> '')" : '0';
	await database.run(
		`CREATE TABLE codes AS SELECT code AS name, count(*)::DOUBLE AS events, count(value)::DOUBLE AS valued,
			(${textOnly})::DOUBLE AS text_only FROM (${eventsSql(dataset, present.text ? ['text_value'] : [])}) GROUP BY code`,
	);
	const forms = await valueForms(database, dataset, present);
	const distinct = async (kind: 'unit' | 'table', wanted: boolean) => {
		const select = wanted
			? `SELECT DISTINCT "${kind}" AS name FROM (${eventsSql(dataset, [kind])})`
			: 'SELECT NULL::VARCHAR AS name WHERE false';
		await database.run(`CREATE TABLE ${kind}s AS SELECT name FROM (${select}) WHERE coalesce(name, '') <> ''`);
	};
	await distinct('unit', present.unit);
	await distinct('table', present.table && tokens.kind === 'text');
	const numbered = (kind: string) =>
		`SELECT '${kind}' AS kind, (row_number() OVER (ORDER BY name) - 1)::INTEGER AS id, name FROM ${kind}s`;
	const names = join(folder, 'names.parquet');
	await database.run(copyToParquet(['code', 'unit', 'table'].map(numbered).join(' UNION ALL '), names));
	const rows = await database.rows('SELECT name, events, valued, text_only FROM codes ORDER BY name');
	const units = await database.rows('SELECT name FROM units ORDER BY name');
	const total = (column: string) => rows.reduce((sum, row) => sum + Number(row[column]), 0);
	return {
		parts,
		source: { layouts, names },
		codes: rows.map(({ name }) => String(name)),
		events: Float64Array.from(rows, ({ events }) => Number(events)),
		units: units.map(({ name }) => String(name)),
		codesWithValues: rows.filter(({ valued }) => Number(valued) > 0).length,
		values: total('valued'),
		textOnly: total('text_only'),
		forms,
	};
}
