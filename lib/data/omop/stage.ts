import { mkdir } from 'node:fs/promises';
import { copyToParquet } from '../../files/duckdb-files.js';
import { type Database, quoted } from '../query.js';
import { Columns } from './columns.js';
import type { ImportOmopOptions } from './options.js';
import { birthSql } from './persons.js';
import { bitOf, dropReasons, type Remark } from './report.js';
import { readableTable, type SourceTable } from './source-table.js';
import type { Moment, OmopEvents } from './tables.js';
import { earliestTime, latestTime } from './time-range.js';

/** Shard of the rows that become no event. */
const droppedShard = -1;

/** Typed one by one: what a table does not have is a null without a type to DuckDB, and the parts are read as one. */
const stagedColumns = Object.entries({
	part: 'UTINYINT',
	reason: 'UTINYINT',
	remarks: 'UINTEGER',
	subject_id: 'BIGINT',
	time: 'TIMESTAMP',
	source_concept: 'BIGINT',
	concept: 'BIGINT',
	is_default: 'BOOLEAN',
	has_fixed_code: 'BOOLEAN',
	last_code: 'VARCHAR',
	number: 'FLOAT',
	text: 'VARCHAR',
	value_concept: 'BIGINT',
	value_source: 'VARCHAR',
	unit_concept: 'BIGINT',
	unit_text: 'VARCHAR',
	'"end"': 'TIMESTAMP',
	visit_id: 'BIGINT',
	key: 'BIGINT',
})
	.map(([name, type]) => `${name}::${type} AS ${name}`)
	.join(', ');

/**
 * Reads a table once and writes its rows as parquet files per shard: what is needed of each, with concepts as ids still, why
 * it is dropped, and what is odd about it. So text is parsed once, and later passes read few narrow columns.
 *
 * @param folder - Receives `shard=<id>/`.
 */
export async function stageEvents(
	database: Database,
	source: SourceTable,
	events: OmopEvents,
	order: number,
	folder: string,
	options: ImportOmopOptions,
): Promise<void> {
	await mkdir(folder, { recursive: true });
	const rows = sourceSql(source, events, options);
	await readableTable(source.files, () =>
		database.run(
			copyToParquet(
				`SELECT CASE WHEN reason IS NULL THEN shard ELSE ${droppedShard} END AS shard, ${stagedColumns}
				FROM (SELECT * REPLACE (CASE WHEN ${withinRange('"end"')} THEN "end" END AS "end"), ${order} AS part, person AS subject_id,
						${reasonSql(events)} AS reason, ${remarksSql(events)} AS remarks FROM (
					SELECT s.*, p.shard, p.birth, p.death, ${nth(events)} AS nth
					FROM (${rows}) s LEFT JOIN persons p ON p.subject_id = s.person))`,
				folder,
				['COMPRESSION snappy', 'PARTITION_BY (shard)', 'OVERWRITE_OR_IGNORE'],
			),
		),
	);
}

/** The columns of an event in the terms of the source. */
function sourceSql(source: SourceTable, events: OmopEvents, options: ImportOmopOptions): string {
	const columns = new Columns(source);
	const { value, end, key } = events;
	const time = timeSql(columns, events, options.midnight);
	const only = (name: string | undefined) => (name === undefined ? [] : [name]);
	const hasUnit = value?.number !== undefined;
	const read = `SELECT ${columns.present([columns.require('person_id')])} AS has_person, ${columns.id(['person_id'])} AS person,
		${time.sql} AS time, ${time.present} AS has_time, ${time.unreadable} AS unreadable_datetime, ${time.midnight} AS at_midnight,
		${end === undefined ? 'NULL::TIMESTAMP' : momentSql(columns, end, options.midnight)} AS "end",
		${end === undefined ? 'false' : `${columns.present(end.datetime)} OR ${columns.present(end.date)}`} AS has_end,
		${codeSql(columns, events)},
		${columns.number(only(value?.number))} AS given_number, ${columns.present(only(value?.number))} AS has_number,
		${columns.text(only(value?.text))} AS given_text, ${columns.conceptId(only(value?.concept))} AS value_concept,
		${columns.text(only(value?.source))} AS source_text, ${operatorSql(columns, value)} AS operator,
		${columns.missingWord(textColumns(events))} AS missing_word, ${columns.unreadableId(idColumns(events))} AS unreadable_id,
		${columns.conceptId(hasUnit ? ['unit_concept_id'] : [])} AS unit_concept,
		${columns.text(hasUnit ? ['unit_source_value'] : [])} AS unit_text,
		${typeof events.time === 'string' ? 'NULL::BIGINT' : columns.id(['visit_occurrence_id'])} AS visit_id,
		${columns.id(only(key))} AS key
		FROM (${source.sql})`;
	const last = 'has_number OR given_text IS NOT NULL OR value_concept IS NOT NULL';
	return `SELECT *, CASE WHEN comparison IS NULL AND isfinite(any_number) AND abs(any_number) <= 3.4028234663852886e38 THEN any_number::FLOAT END AS number,
		coalesce(given_text, comparison) AS text,
		CASE WHEN source_number IS NULL AND NOT (${last}) THEN source_text END AS value_source
		FROM (SELECT *, coalesce(given_number, source_number) AS any_number,
				CASE WHEN given_number IS NOT NULL THEN operator || CASE WHEN given_number = trunc(given_number) AND abs(given_number) < 1e15
					THEN given_number::BIGINT::VARCHAR ELSE given_number::VARCHAR END END AS comparison
			FROM (SELECT *, CASE WHEN NOT (${last}) THEN TRY_CAST(source_text AS DOUBLE) END AS source_number FROM (${read})))`;
}

/** `<` and the like, where a number is a bound and no value. */
function operatorSql(columns: Columns, value: OmopEvents['value']): string {
	if (value?.number === undefined) return 'NULL::VARCHAR';
	const signs = Object.entries(operators).map(([id, sign]) => `WHEN ${id} THEN '${sign}'`);
	const concept = columns.find(['operator_concept_id']);
	const given = concept === undefined ? 'NULL' : `CASE ${columns.id([concept])} ${signs.join(' ')} END`;
	// The source says it where nobody mapped it: `<6` beside 6.
	const source = columns.text(value.source === undefined ? [] : [value.source]);
	const bound = `regexp_extract(${source}, '^([<>]=?|≤|≥) *[+-]?[0-9][0-9.]*$', 1)`;
	return `coalesce(${given}, CASE ${bound} WHEN '≤' THEN '<=' WHEN '≥' THEN '>=' ELSE nullif(${bound}, '') END)`;
}

/** Concepts of the domain Meas Value Operator but `=`. */
const operators = { 4171756: '<', 4171754: '<=', 4172704: '>', 4171755: '>=' } as const;

/** Columns whose text becomes a code, a value or a unit. */
function textColumns({ code, value }: OmopEvents): string[][] {
	return [
		...('fixed' in code || code.sourceValue === undefined ? [] : [[...code.sourceValue]]),
		...[value?.text, value?.source].filter((name) => name !== undefined).map((name) => [name]),
		...(value?.number === undefined ? [] : [['unit_source_value']]),
	];
}

/** Columns of ids beside person_id, whose loss is a reason of its own. */
function idColumns({ code, value, time }: OmopEvents): string[][] {
	return [
		...('fixed' in code ? [] : [[...(code.source ?? [])], [...code.concept]]),
		...(value?.concept === undefined ? [] : [[value.concept]]),
		...(value?.number === undefined ? [] : [['unit_concept_id'], ['operator_concept_id']]),
		...(typeof time === 'string' ? [] : [['visit_occurrence_id']]),
	].filter((names) => names.length > 0);
}

function codeSql(columns: Columns, { code, name, optional }: OmopEvents): string {
	if ('fixed' in code) {
		return `NULL::BIGINT AS source_concept, NULL::BIGINT AS concept, false AS is_default, true AS has_fixed_code, ${quoted(code.fixed)} AS last_code`;
	}
	const { source = [], concept, sourceValue, prefix = name, defaultConcept } = code;
	if (optional !== true) columns.require(...concept);
	const sourceConcept = columns.conceptId(source);
	const standard = columns.conceptId(concept);
	const last =
		sourceValue === undefined
			? quoted(`${prefix}/unmapped`)
			: `${quoted(`${prefix}/`)} || ${columns.code(sourceValue)}`;
	const isDefault = defaultConcept === undefined ? 'false' : `(${sourceConcept} IS NULL AND ${standard} IS NULL)`;
	return `${sourceConcept} AS source_concept, ${defaultConcept === undefined ? standard : `CASE WHEN ${isDefault} THEN ${defaultConcept} ELSE ${standard} END`} AS concept,
		${isDefault} AS is_default, false AS has_fixed_code, ${last} AS last_code`;
}

function timeSql(columns: Columns, { time }: OmopEvents, midnight: ImportOmopOptions['midnight']) {
	if (time === 'static') return { sql: 'NULL::TIMESTAMP', present: 'true', unreadable: 'false', midnight: 'false' };
	if (time === 'birth') {
		const present = `${columns.present(['birth_datetime'])} OR ${columns.present(['year_of_birth'])}`;
		return { sql: birthSql(columns), present, unreadable: 'false', midnight: 'false' };
	}
	columns.require(...time.datetime, ...time.date);
	const datetime = columns.datetime(time.datetime);
	return {
		sql: momentSql(columns, time, midnight),
		present: `${columns.present(time.datetime)} OR ${columns.present(time.date)}`,
		unreadable: `${columns.present(time.datetime)} AND ${datetime} IS NULL AND ${columns.day(time.datetime)} IS NULL`,
		midnight: `coalesce(${datetime} = date_trunc('day', ${datetime}), false)`,
	};
}

function momentSql(columns: Columns, moment: Moment, midnight: ImportOmopOptions['midnight']): string {
	if (midnight === 'as-given') return columns.moment(moment);
	const datetime = columns.datetime(moment.datetime);
	const timed = `CASE WHEN ${datetime} <> date_trunc('day', ${datetime}) THEN ${datetime} END`;
	return `coalesce(${timed}, ${columns.endOfDay(moment.datetime)}, ${columns.endOfDay(moment.date)})`;
}

/** Row number among the events of a person where only the earliest counts. */
function nth({ once }: OmopEvents): string {
	return once === true ? 'row_number() OVER (PARTITION BY s.person ORDER BY s.time NULLS LAST)' : '1';
}

/** Number of the first reason that holds; what depends on CONCEPT is asked later. */
function reasonSql({ time, code, optional, once }: OmopEvents): string {
	const reason = (name: (typeof dropReasons)[number]) => `${dropReasons.indexOf(name)}::UTINYINT`;
	const whens = [
		`WHEN NOT has_person THEN ${reason('null-person')}`,
		`WHEN person IS NULL THEN ${reason('unreadable-person')}`,
		`WHEN shard IS NULL THEN ${reason('unknown-person')}`,
	];
	const nothing = 'source_concept IS NULL AND concept IS NULL AND last_code IS NULL';
	if (optional === true) whens.push(`WHEN ${nothing} THEN ${reason('not-recorded')}`);
	if (time !== 'static') {
		whens.push(
			`WHEN NOT has_time THEN ${reason('no-date')}`,
			`WHEN time IS NULL THEN ${reason('unreadable-date')}`,
			`WHEN NOT (${withinRange('time')}) THEN ${reason('date-out-of-range')}`,
		);
	}
	if (once === true) whens.push(`WHEN nth > 1 THEN ${reason('repeated-death')}`);
	if (!('fixed' in code)) whens.push(`WHEN ${nothing} THEN ${reason('no-concept')}`);
	return `CASE ${whens.join(' ')} END`;
}

function remarksSql({ time, end, value }: OmopEvents): string {
	const conditions: Partial<Record<Remark, string>> = {
		'missing-word': 'missing_word',
		'unreadable-id': 'unreadable_id',
		...(typeof time === 'string'
			? {}
			: {
					'before-birth': 'time < birth',
					'after-death': 'time > death',
					'unreadable-datetime': 'unreadable_datetime',
					midnight: 'at_midnight',
				}),
		...(end === undefined
			? {}
			: {
					'end-before-start': '"end" < time',
					'unreadable-end': `has_end AND ("end" IS NULL OR NOT (${withinRange('"end"')}))`,
				}),
		...(value?.number === undefined
			? {}
			: {
					'unreadable-value': 'has_number AND given_number IS NULL',
					'value-not-finite': 'any_number IS NOT NULL AND number IS NULL AND comparison IS NULL',
					comparison: 'comparison IS NOT NULL',
					'value-from-source': 'source_number IS NOT NULL',
				}),
	};
	const bits = Object.entries(conditions).map(
		([remark, condition]) => `CASE WHEN ${condition} THEN ${bitOf(remark as Remark)} ELSE 0 END`,
	);
	return `(${['0', ...bits].join(' + ')})::UINTEGER`;
}

function withinRange(time: string): string {
	return `${time} BETWEEN ${earliestTime} AND ${latestTime}`;
}
