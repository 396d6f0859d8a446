import { nearNames } from '../near-names.js';
import type { SourceTable } from './source-table.js';
import { omopEvents } from './tables.js';

/** Columns that are read from a table about persons, under all their names. */
function knownColumns(table: string): ReadonlySet<string> {
	const names = new Set<string>(['person_id']);
	const add = (...columns: readonly (string | undefined)[]) => {
		for (const column of columns) if (column !== undefined) names.add(column);
	};
	for (const { code, time, end, value, key } of omopEvents.filter((events) => events.table === table)) {
		add(key, value?.number, value?.text, value?.concept, value?.source);
		if (!('fixed' in code)) add(...(code.source ?? []), ...code.concept, ...(code.sourceValue ?? []));
		for (const moment of [time, end]) {
			if (typeof moment === 'object') add(...moment.datetime, ...moment.date, 'visit_occurrence_id');
		}
		if (time === 'birth') add('birth_datetime', 'year_of_birth', 'month_of_birth', 'day_of_birth');
		if (value?.number !== undefined) add('unit_concept_id', 'unit_source_value', 'operator_concept_id');
	}
	return names;
}

const vocabularyColumns = [
	...['concept_id', 'concept_name', 'vocabulary_id', 'concept_code', 'invalid_reason'],
	...['concept_id_1', 'concept_id_2', 'relationship_id'],
];

/** Columns as a message may name them: a file without a header begins with a patient, whose cells are no names. */
export function columnsInWords(table: string, columns: readonly string[]): string {
	const known = knownColumns(table);
	const named = columns.filter((column) => known.has(column) || vocabularyColumns.includes(column));
	const others = columns.length - named.length;
	const rest = others === 0 ? [] : [`${others} with ${others === 1 ? 'a name that is' : 'names that are'} not read`];
	return `columns ${[...named, ...rest].join(', ')}`;
}

/** One note for each table with columns that are not read and whose names are nearly those of columns that are. */
export function nearNotes(tables: ReadonlyMap<string, SourceTable>): string[] {
	return [...tables.values()].flatMap(({ table, types }) => {
		if (!omopEvents.some((events) => events.table === table)) return [];
		const near = nearNames([...types.keys()], [...knownColumns(table)]);
		return near.length === 0
			? []
			: [`${table}: columns that are not read, with names like those that are: ${near.join(', ')}`];
	});
}
