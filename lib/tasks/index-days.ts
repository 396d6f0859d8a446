import type { DuckDBBigIntVector } from '@duckdb/node-api';
import { floorDaysSql } from '../data/day-sql.js';
import type { LifeCodes } from '../data/life-codes.js';
import type { Database } from '../data/query.js';
import { RandomStream } from '../random.js';
import { microsecondsPerDay } from '../types.js';
import { codeSetSql } from './code-set.js';
import { codesOfRule, type IndexRule, indexRuleName } from './index-rules.js';

export interface IndexDayOptions {
	/** Of the rule `random`. */
	readonly perPatient: number;
	readonly minHistoryDays: number;
	/** Index days that are so many days or fewer before the day of death are left out. */
	readonly dropDaysBeforeDeath: number;
	readonly seed: number;
}

/** What a rule gave. */
export interface IndexRuleCounts {
	readonly dates: number;
	readonly patients: number;
	/** Events that match its codes; null for a rule without codes. */
	readonly matchingEvents: number | null;
	/** Index dates that are left out since death was near. */
	readonly beforeDeath: number;
}

/**
 * Makes the tables index_dates (subject_id, t, split), to which rules add, and index_rules (subject_id, t, rule,
 * days_since_anchor), which says where each came from. Needs the tables events, all_events and subjects.
 */
export async function createIndexTables(database: Database): Promise<void> {
	await database.run('CREATE TABLE index_dates (subject_id BIGINT, t BIGINT, split VARCHAR)');
	await database.run('CREATE TABLE index_rules (subject_id BIGINT, t BIGINT, rule VARCHAR, days_since_anchor INTEGER)');
	await database.run(
		`CREATE TABLE record_days AS SELECT subject_id, day, t, row_number() OVER (PARTITION BY subject_id ORDER BY day) AS n FROM (
			SELECT e.subject_id, ${floorDaysSql('e.time')} AS day, max(e.time) AS t FROM events e JOIN subjects USING (subject_id)
			GROUP BY e.subject_id, day)`,
	);
	await database.run(
		`CREATE TABLE ends AS SELECT subject_id, split, ${floorDaysSql('last_time')} AS last_day,
			${floorDaysSql('death_time')} AS death_day FROM subjects`,
	);
}

/**
 * Adds the index dates of one rule: after enough days with events, before the day of death and the last day of the record.
 * The prediction time is the last event of the day, or the end of a day without events.
 */
export async function addIndexDays(
	database: Database,
	rule: IndexRule,
	options: IndexDayOptions,
	lifeCodes: LifeCodes,
	signal: AbortSignal | undefined,
): Promise<IndexRuleCounts> {
	const end = `(c.day + 1) * ${microsecondsPerDay} - 1`;
	await database.run(
		`CREATE OR REPLACE TEMP TABLE possible AS SELECT DISTINCT c.subject_id, CASE WHEN d.day = c.day THEN d.t ELSE ${end} END AS t,
			c.since, coalesce(c.day >= s.death_day - ${options.dropDaysBeforeDeath}, false) AS near_death
		FROM (${candidates(rule, lifeCodes)}) c JOIN ends s USING (subject_id)
		ASOF JOIN record_days d ON d.subject_id = c.subject_id AND c.day >= d.day
		WHERE d.n >= ${options.minHistoryDays} AND c.day < s.last_day AND (s.death_day IS NULL OR c.day < s.death_day)`,
	);
	await database.run('CREATE OR REPLACE TABLE chosen (subject_id BIGINT, t BIGINT)');
	const most = rule.perPatient ?? (rule.kind === 'random' ? options.perPatient : undefined);
	if (most === undefined)
		await database.run('INSERT INTO chosen SELECT DISTINCT subject_id, t FROM possible WHERE NOT near_death');
	else await draw(database, most, options.seed, signal);
	await database.run(
		`INSERT INTO index_dates SELECT c.subject_id, c.t, s.split FROM chosen c JOIN subjects s USING (subject_id)
		ANTI JOIN index_dates i ON i.subject_id = c.subject_id AND i.t = c.t`,
	);
	const name = indexRuleName(rule);
	await database.run(
		`INSERT INTO index_rules SELECT p.subject_id, p.t, '${name}', p.since FROM possible p SEMI JOIN chosen c
			ON c.subject_id = p.subject_id AND c.t = p.t WHERE NOT p.near_death`,
	);
	const [found] = await database.rows(
		`SELECT (SELECT count(*)::DOUBLE FROM chosen) AS dates, (SELECT count(DISTINCT subject_id)::DOUBLE FROM chosen) AS patients,
			(SELECT count(*)::DOUBLE FROM (SELECT DISTINCT subject_id, t FROM possible WHERE near_death)) AS near`,
	);
	const codes = codesOfRule(rule);
	const [events] =
		codes === undefined
			? [undefined]
			: await database.rows(`SELECT count(*)::DOUBLE AS n FROM events WHERE ${codeSetSql(codes)}`);
	return {
		dates: Number(found?.dates),
		patients: Number(found?.patients),
		matchingEvents: events === undefined ? null : Number(events.n),
		beforeDeath: Number(found?.near),
	};
}

/** SQL of (subject_id, day, since): the days that a rule means, `since` being days since its anchor, if it has one. */
function candidates(rule: IndexRule, lifeCodes: LifeCodes): string {
	const day = floorDaysSql('time');
	const daysWith = (condition: string) => `SELECT DISTINCT subject_id, ${day} AS day FROM events WHERE ${condition}`;
	const plain = (sql: string) => `SELECT subject_id, day, NULL::INTEGER AS since FROM (${sql})`;
	switch (rule.kind) {
		case 'random':
			return plain('SELECT subject_id, day FROM record_days');
		case 'visit':
			return plain(
				`SELECT subject_id, day, row_number() OVER (PARTITION BY subject_id ORDER BY day) AS nth FROM (${daysWith(codeSetSql(rule.codes))})
				QUALIFY nth % ${rule.every} = 0`,
			);
		case 'admission':
		case 'discharge':
			return plain(daysWith(codeSetSql(rule.codes)));
		case 'first-code':
			return plain(firstDay(codeSetSql(rule.codes)));
		case 'new-diagnosis':
			return plain(
				`SELECT DISTINCT subject_id, day FROM (SELECT subject_id, code, min(${day}) AS day FROM events
				WHERE ${codeSetSql(rule.codes)} GROUP BY subject_id, code)`,
			);
		case 'new-line': {
			const [only, ...more] = rule.drugs;
			const firsts =
				more.length === 0
					? `SELECT subject_id, min(${day}) AS day FROM events WHERE ${codeSetSql(only!)} GROUP BY subject_id, code`
					: rule.drugs.map((codes) => firstDay(codeSetSql(codes))).join(' UNION ALL ');
			return plain(
				`SELECT DISTINCT subject_id, day FROM (SELECT subject_id, day, min(day) OVER (PARTITION BY subject_id) AS line1 FROM (${firsts}))
				WHERE day > line1`,
			);
		}
		case 'calendar': {
			const start =
				rule.from === 'record'
					? 'SELECT subject_id, min(day) AS start FROM record_days GROUP BY subject_id'
					: `SELECT subject_id, min(${day}) AS start FROM all_events WHERE time IS NOT NULL AND ${lifeCodes.birthSql()} GROUP BY subject_id`;
			return plain(
				`SELECT subject_id, unnest(range(start + ${rule.everyDays}, last_day + 1, ${rule.everyDays})) AS day FROM (${start}) JOIN ends USING (subject_id)`,
			);
		}
		case 'anchor': {
			const condition = codeSetSql(rule.codes);
			const anchors = rule.occurrence === 'first' ? firstDay(condition) : daysWith(condition);
			return `SELECT subject_id, day + since AS day, since::INTEGER AS since FROM (
				SELECT subject_id, day, unnest([${[...new Set(rule.days)].join(', ')}]) AS since FROM (${anchors}))`;
		}
	}
}

function firstDay(condition: string): string {
	return `SELECT subject_id, min(${floorDaysSql('time')}) AS day FROM events WHERE ${condition} GROUP BY subject_id`;
}

/** Draws index dates of each patient into the table chosen. */
async function draw(database: Database, most: number, seed: number, signal: AbortSignal | undefined): Promise<void> {
	const appender = await database.connection.createAppender('chosen');
	const take = (subjectId: bigint, times: bigint[]) => {
		const random = new RandomStream(
			seed,
			'indexDate',
			Number(BigInt.asUintN(32, subjectId)),
			Number(BigInt.asUintN(24, subjectId >> 32n)),
		);
		for (const time of random.shuffle(times).slice(0, most)) {
			appender.appendBigInt(subjectId);
			appender.appendBigInt(time);
			appender.endRow();
		}
	};
	let current: bigint | undefined;
	let times: bigint[] = [];
	for await (const chunk of database.stream(
		'SELECT DISTINCT subject_id, t FROM possible WHERE NOT near_death ORDER BY subject_id, t',
		signal,
	)) {
		const subjects = chunk.getColumnVector(0) as DuckDBBigIntVector;
		const moments = chunk.getColumnVector(1) as DuckDBBigIntVector;
		for (let row = 0; row < chunk.rowCount; row++) {
			const subject = subjects.getItem(row)!;
			if (subject !== current) {
				if (current !== undefined) take(current, times);
				current = subject;
				times = [];
			}
			times.push(moments.getItem(row)!);
		}
	}
	if (current !== undefined) take(current, times);
	appender.closeSync();
}
