import { type Database, quoted } from '../../data/query.js';
import { ConfigError } from '../../errors.js';
import type { AcesTask, Predicate } from './schema.js';

type PlainPredicate = Exclude<Predicate, { expr: unknown }>;

/** Events that match a predicate of a task. */
export interface PredicateCount {
	readonly name: string;
	readonly events: number;
}

/** Tables (subject_id, t, n) of how often a predicate holds at a moment, by its name. */
export type PredicateTables = ReadonlyMap<string, string>;

/**
 * Makes a table for each predicate that a task uses. As in ACES, a plain predicate counts the rows of a moment, a derived one and
 * the built-in ones are 1 where they hold. Needs the table all_events with values.
 *
 * @throws {ConfigError} For a regular expression that is none.
 */
export async function createPredicates(
	database: Database,
	task: string,
	{ predicates }: AcesTask,
): Promise<{ readonly tables: PredicateTables; readonly counts: PredicateCount[] }> {
	const tables = new Map<string, string>();
	const counts: PredicateCount[] = [];
	const create = async (name: string, sql: string) => {
		const table = `predicate_${tables.size}`;
		await database.run(`CREATE OR REPLACE TEMP TABLE ${table} AS ${sql}`);
		tables.set(name, table);
		const [found] = await database.rows(`SELECT coalesce(sum(n), 0)::DOUBLE AS events FROM ${table}`);
		counts.push({ name, events: Number(found?.events) });
	};
	for (const [name, predicate] of Object.entries(predicates))
		if ('code' in predicate)
			await requireRegex(database, `tasks ${task}] predicates.${name}.code.regex`, predicate.code);
	const moments = (condition: string) =>
		`SELECT subject_id, time AS t, count(*) AS n FROM all_events WHERE time IS NOT NULL AND ${condition} GROUP BY ALL`;
	for (const [name, predicate] of Object.entries(predicates))
		if (!('expr' in predicate)) await create(name, moments(plainSql(predicate)));
	await create('_ANY_EVENT', 'SELECT DISTINCT subject_id, time AS t, 1 AS n FROM all_events WHERE time IS NOT NULL');
	for (const [name, edge] of [
		['_RECORD_START', 'min'],
		['_RECORD_END', 'max'],
	] as const)
		await create(
			name,
			`SELECT subject_id, ${edge}(time) AS t, 1 AS n FROM all_events WHERE time IS NOT NULL GROUP BY subject_id`,
		);
	for (const [name, predicate] of Object.entries(predicates)) {
		if (!('expr' in predicate)) continue;
		const { operator, names } = predicate.expr;
		const parts = [...new Set(names)].map((part) => `SELECT DISTINCT subject_id, t FROM ${tables.get(part)}`);
		const joined = parts.join(operator === 'or' ? ' UNION ' : ' INTERSECT ');
		await create(name, `SELECT subject_id, t, 1 AS n FROM (${joined})`);
	}
	return { tables, counts: counts.filter(({ name }) => Object.hasOwn(predicates, name)) };
}

/** The database's own word on a bad pattern would name no predicate. */
async function requireRegex(database: Database, place: string, code: PlainPredicate['code']): Promise<void> {
	if (typeof code === 'string' || !('regex' in code)) return;
	try {
		await database.rows(`SELECT regexp_matches('', ${quoted(code.regex)})`);
	} catch (cause) {
		throw new ConfigError(
			`[${place} must be a regular expression as RE2 reads it but is ${JSON.stringify(code.regex)}`,
			{ cause },
		);
	}
}

function plainSql(predicate: PlainPredicate): string {
	const { code, value_min: min, value_max: max } = predicate;
	const conditions = [
		typeof code === 'string'
			? `code = ${quoted(code)}`
			: 'any' in code
				? `code IN (${code.any.map(quoted).join(', ')})`
				: // As polars, ACES searches; RE2 in both.
					`regexp_matches(code, ${quoted(code.regex)})`,
	];
	if (min !== undefined && min !== null) conditions.push(`value ${predicate.value_min_inclusive ? '>=' : '>'} ${min}`);
	if (max !== undefined && max !== null) conditions.push(`value ${predicate.value_max_inclusive ? '<=' : '<'} ${max}`);
	return conditions.join(' AND ');
}
