import type { DuckDBValue } from '@duckdb/node-api';
import { DataError } from '../../errors.js';
import { parquetFiles } from '../../files/duckdb-files.js';
import type { LifeCodes } from '../life-codes.js';
import { type Database, identifier } from '../query.js';
import { arrowTypes } from './arrow-types.js';
import { checkBirths } from './births.js';
import {
	duplicateRule,
	type EventRule,
	type EventSource,
	encodingRule,
	readableRule,
	unreadable,
} from './event-rules.js';
import type { Findings } from './rule.js';
import { checkSchema, schemas } from './schemas.js';

/** A data file of the set under validation. */
export interface EventFile {
	readonly id: number;
	/** Relative to the data set. */
	readonly name: string;
	readonly path: string;
}

/** What became of a file: its rows, or why they could not be checked. */
export type EventFileResult = { readonly columns: readonly string[] } & (
	| { readonly rows: number; readonly unchecked?: undefined }
	| { readonly unchecked: string }
);

/**
 * Validates the events of one file and keeps, in the tables of {@link createTables}, what the rules across files need: where
 * each run of a subject's rows starts, and its codes.
 */
export async function validateEventFile(
	database: Database,
	file: EventFile,
	rules: readonly EventRule[],
	lifeCodes: LifeCodes,
	findings: Findings,
): Promise<EventFileResult> {
	let names: string[] = [];
	try {
		const types = await arrowTypes(database, 'validate', file.name, file.path);
		names = [...types.keys()];
		const columns = checkSchema(file.name, types, schemas.data, findings);
		const unreadable = await columnsWithBadText(database, file, types, findings);
		if (columns === undefined) return { columns: names, unchecked: 'a required column is missing or of another type' };
		if (unreadable.has(columns.get('code')!)) return { columns: names, unchecked: 'code is not UTF-8' };
		const rows = rowsSql(file.path, columns);
		const count = await checkRules(database, file, rows, rules, lifeCodes, findings);
		await checkDuplicates(
			database,
			file,
			columns,
			names.filter((name) => !unreadable.has(name)),
			findings,
		);
		await keepRuns(database, file, rows);
		await checkBirths(database, file.name, rows, lifeCodes, findings);
		await keepCodes(database, file, rows);
		return { columns: names, rows: count };
	} catch (error) {
		if (!(error instanceof DataError)) throw error;
		findings.add(readableRule, 1, { file: file.name, ...unreadable(error) });
		return { columns: names, unchecked: 'the file cannot be read' };
	}
}

/** Tables that gather what the rules across files look at. */
export async function createTables(database: Database): Promise<void> {
	await database.run('CREATE TABLE files (id INTEGER, name VARCHAR, folder VARCHAR)');
	await database.run('CREATE TABLE runs (subject_id BIGINT, file INTEGER, "row" BIGINT)');
	await database.run(
		'CREATE TABLE data_codes (code VARCHAR, file INTEGER, "row" BIGINT, subject_id BIGINT, events BIGINT)',
	);
	await database.run('CREATE TABLE codes (code VARCHAR, "row" BIGINT)');
	await database.run('CREATE TABLE splits (subject_id BIGINT, split VARCHAR, "row" BIGINT)');
}

/** The file's rows in order, under the names of MEDS 0.4; time in microseconds, UTC where it has a zone. */
function rowsSql(path: string, columns: ReadonlyMap<string, string>): string {
	const time = identifier(columns.get('time')!);
	const value = columns.get('numeric_value');
	return `SELECT file_row_number AS "row", ${identifier(columns.get('subject_id')!)}::BIGINT AS subject_id,
		CASE WHEN isfinite(${time}) THEN epoch_us(${time}) END AS time, ${time} IS NULL AS is_static,
		${identifier(columns.get('code')!)}::VARCHAR AS code,
		${value === undefined ? 'NULL' : identifier(value)}::DOUBLE AS numeric_value
		FROM ${parquetFiles(path, { rowNumbers: true })}`;
}

function ordered(rows: string): string {
	return `SELECT *, lag(subject_id) OVER () AS previous_subject, lag(is_static) OVER () AS previous_static FROM (${rows})`;
}

// lag() over the whole file in its own order is a streaming operator in DuckDB: no sort, no memory.
const beside: Readonly<Record<EventSource, (rows: string, lifeCodes: LifeCodes) => string>> = {
	rows: (rows) => rows,
	ordered,
	timed: (rows) =>
		`SELECT *, lag(subject_id) OVER () AS previous_subject, lag(time) OVER () AS previous_time
		FROM (SELECT * FROM (${rows}) WHERE time IS NOT NULL)`,
	lived: (rows, lifeCodes) =>
		`SELECT e.*, birth, death FROM (${rows}) e JOIN (
			SELECT subject_id, min(time) FILTER (${lifeCodes.birthSql()}) AS birth, min(time) FILTER (${lifeCodes.deathSql()}) AS death
			FROM (${rows}) WHERE ${lifeCodes.birthSql()} OR ${lifeCodes.deathSql()} GROUP BY subject_id
		) life USING (subject_id)`,
};

/** One pass per source counts the violations of all its rules; the first row is looked for only where there is one. */
async function checkRules(
	database: Database,
	file: EventFile,
	rows: string,
	rules: readonly EventRule[],
	lifeCodes: LifeCodes,
	findings: Findings,
): Promise<number> {
	let count = 0;
	for (const source of Object.keys(beside) as EventSource[]) {
		const own = rules.filter((rule) => rule.source === source);
		const from = beside[source](rows, lifeCodes);
		const columns = own.map(({ condition }, i) => `(count(*) FILTER (${condition}))::DOUBLE AS n${i}`);
		const [found] = await database.rows(`SELECT count(*)::DOUBLE AS n, ${columns.join(', ')} FROM (${from})`);
		if (source === 'rows') count = Number(found?.n);
		for (const [i, rule] of own.entries()) {
			const n = Number(found?.[`n${i}`]);
			if (n === 0) continue;
			const [first] = await database.rows(
				`SELECT "row" AS r, subject_id AS s, ${rule.value} AS v FROM (${from}) WHERE ${rule.condition} ORDER BY "row" LIMIT 1`,
			);
			findings.add(rule, n, offender(file.name, first!.r!, first!.s!, first!.v!));
		}
	}
	return count;
}

/**
 * A subject has one file, so copies of a row are in one file. First the hashes that occur twice, then the rows themselves
 * where one does: grouping all rows by all columns takes four times as long and three times the memory.
 */
async function checkDuplicates(
	database: Database,
	file: EventFile,
	columns: ReadonlyMap<string, string>,
	all: readonly string[],
	findings: Findings,
): Promise<void> {
	const subject = identifier(columns.get('subject_id')!);
	const code = identifier(columns.get('code')!);
	const list = all.map(identifier).join(', ');
	const source = parquetFiles(file.path, { rowNumbers: true });
	await database.run(
		`CREATE OR REPLACE TEMP TABLE repeated AS
		SELECT h FROM (SELECT hash(${list}) AS h FROM ${source}) GROUP BY h HAVING count(*) > 1`,
	);
	const [found] = await database.rows(
		`SELECT coalesce(sum(copies - 1), 0)::DOUBLE AS n, min("row") AS r, arg_min(s, "row") AS s, arg_min(c, "row") AS c FROM (
			SELECT count(*) AS copies, min(file_row_number) AS "row", any_value(${subject}) AS s, any_value(${code}) AS c
			FROM ${source} WHERE hash(${list}) IN (FROM repeated) GROUP BY ${list} HAVING count(*) > 1)`,
	);
	const n = Number(found?.n ?? 0);
	if (n > 0) findings.add(duplicateRule, n, offender(file.name, found!.r!, found!.s!, found!.c!));
}

/** DuckDB refuses a page with text that is not UTF-8; here it is found out which columns have one. */
async function columnsWithBadText(
	database: Database,
	file: EventFile,
	types: ReadonlyMap<string, string>,
	findings: Findings,
): Promise<Set<string>> {
	const bad = new Set<string>();
	const texts = [...types].filter(([, type]) => /string/.test(type)).map(([name]) => name);
	const read = (names: readonly string[]) =>
		database.rows(
			`SELECT ${names.map((name) => `max(hash(${identifier(name)}))`).join(', ')} FROM ${parquetFiles(file.path)}`,
		);
	if (texts.length === 0 || (await read(texts).catch(badText)) !== undefined) return bad;
	for (const column of texts) {
		if ((await read([column]).catch(badText)) !== undefined) continue;
		bad.add(column);
		findings.add(encodingRule, 1, { file: file.name, column });
	}
	return bad;
}

function badText(error: unknown): undefined {
	if (error instanceof DataError && error.rule === 'must hold text in UTF-8') return undefined;
	throw error;
}

async function keepRuns(database: Database, file: EventFile, rows: string): Promise<void> {
	await database.run(
		`INSERT INTO runs SELECT subject_id, ${file.id}, "row" FROM (${ordered(rows)})
		WHERE subject_id IS NOT NULL AND subject_id IS DISTINCT FROM previous_subject`,
	);
}

async function keepCodes(database: Database, file: EventFile, rows: string): Promise<void> {
	await database.run(
		`INSERT INTO data_codes SELECT code, ${file.id}, min("row"), arg_min(subject_id, "row"), count(*)
		FROM (${rows}) WHERE code IS NOT NULL GROUP BY code`,
	);
}

function offender(file: string, row: DuckDBValue, subject: DuckDBValue, value: DuckDBValue) {
	return {
		file,
		row: Number(row),
		...(subject === null ? {} : { subjectId: BigInt(subject as bigint | number) }),
		...(value === null ? {} : { value: String(value) }),
	};
}
