import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { floorDaysSql } from '../data/day-sql.js';
import { type LifeCodes, standardLifeCodes } from '../data/life-codes.js';
import type { Database } from '../data/query.js';
import { copyToParquet } from '../files/duckdb-files.js';
import { microsecondsPerDay } from '../types.js';
import { type CodeSet, codeSetSql, isInCodeSet } from './code-set.js';
import { decidingCodes } from './deciding-codes.js';
import { describeTask, type HorizonTask, isIncident, type TaskDefinition } from './definitions.js';
import { createHits } from './hits.js';
import { labelColumns } from './load-labels.js';
import type { TaskListEntry } from './read.js';

/**
 * Writes the labels of one task, a folder for each horizon. Needs the tables events, subjects, index_dates and first_seen.
 */
export async function writeHorizonLabels(
	database: Database,
	folder: string,
	definition: HorizonTask,
	bufferDays: number,
	lifeCodes: LifeCodes,
): Promise<TaskListEntry[]> {
	const task = await withDeaths(database, definition, lifeCodes);
	const matchingEvents = await createHits(database, hitsOf(task));
	const after = task.kind === 'change' ? task.drugs : task.after === undefined ? [] : [task.after];
	const needed = after.length === 0 ? 'true' : after.map((codes) => codeSetSql(codes)).join(' OR ');
	await database.run(
		`CREATE OR REPLACE TEMP TABLE at_risk AS SELECT subject_id, min(time) AS since FROM events WHERE ${needed} GROUP BY subject_id`,
	);
	const predicates: { name: string; events: number }[] = [];
	for (const [name, codes] of partsOf(task)) {
		const [row] = await database.rows(`SELECT count(*)::INTEGER AS n FROM events WHERE ${codeSetSql(codes)}`);
		predicates.push({ name, events: Number(row?.n ?? 0) });
	}
	const entries: TaskListEntry[] = [];
	for (const horizon of new Set(task.horizonsDays)) {
		const from = `(${floorDaysSql('i.t')} + 1 + ${bufferDays}) * ${microsecondsPerDay}`;
		const until = `i.t + ${BigInt(horizon) * microsecondsPerDay}`;
		await database.run(
			`CREATE OR REPLACE TEMP TABLE samples AS SELECT i.subject_id, i.t, i.split,
				EXISTS (SELECT 1 FROM hits h WHERE h.subject_id = i.subject_id AND h.time <= i.t) AS before,
				EXISTS (SELECT 1 FROM hits h WHERE h.subject_id = i.subject_id AND h.time > i.t AND h.time < ${from}) AS in_buffer,
				EXISTS (SELECT 1 FROM hits h WHERE h.subject_id = i.subject_id AND h.time >= ${from} AND h.time <= ${until}) AS hit,
				coalesce(r.since <= i.t, false) AS at_risk,
				s.last_time >= ${until} AS followed,
				coalesce(s.death_time > i.t AND s.death_time <= ${until}, false) AS died
			FROM index_dates i JOIN subjects s USING (subject_id) LEFT JOIN at_risk r ON r.subject_id = i.subject_id`,
		);
		const prevalent = isIncident(task) ? 'before' : 'false';
		const asked = after.length === 0 ? 'true' : 'at_risk';
		const usable = `${asked} AND NOT ${prevalent} AND NOT in_buffer AND (hit OR followed OR died)`;
		const directory = join(task.name, `${horizon}d`);
		await mkdir(join(folder, directory), { recursive: true });
		await database.run(
			`CREATE OR REPLACE TEMP TABLE labels AS SELECT subject_id, t, hit AS value FROM samples WHERE ${usable} ORDER BY subject_id, t`,
		);
		await database.run(copyToParquet(labelColumns, join(folder, directory, '0.parquet')));
		const [counts] = await database.rows(
			`SELECT (count(*) FILTER (${usable}))::INTEGER AS samples, (count(*) FILTER (${usable} AND hit))::INTEGER AS positives,
				(count(DISTINCT subject_id) FILTER (${usable}))::INTEGER AS patients,
				(count(*) FILTER (NOT ${asked}))::INTEGER AS not_at_risk, (count(*) FILTER (${asked} AND ${prevalent}))::INTEGER AS prevalent,
				(count(*) FILTER (${asked} AND NOT ${prevalent} AND in_buffer))::INTEGER AS buffered,
				(count(*) FILTER (${asked} AND NOT ${prevalent} AND NOT in_buffer AND NOT (hit OR followed OR died)))::INTEGER AS censored FROM samples`,
		);
		entries.push({
			name: task.name,
			label: task.label,
			definition: describeTask(task),
			horizonDays: horizon,
			directory,
			matchingEvents,
			samples: Number(counts?.samples ?? 0),
			positives: Number(counts?.positives ?? 0),
			patients: Number(counts?.patients ?? 0),
			excluded: {
				censored: Number(counts?.censored ?? 0),
				prevalent: Number(counts?.prevalent ?? 0),
				inBuffer: Number(counts?.buffered ?? 0),
				notAtRisk: Number(counts?.not_at_risk ?? 0),
				unlabelled: 0,
				repeated: 0,
				withoutSplit: 0,
				withoutEvents: 0,
			},
			decidingCodes: await decidingCodes(database),
			...(predicates.length === 0 ? {} : { predicates }),
		});
	}
	return entries;
}

/** Sets of codes whose events are counted one by one, where a task has more than one. */
function partsOf(task: HorizonTask): [name: string, codes: CodeSet][] {
	if (task.kind === 'change') {
		return task.drugs.map((codes) => [(codes.prefix[0] ?? codes.exact[0]!).split('//').at(-1)!.toLowerCase(), codes]);
	}
	if (task.after === undefined) return [];
	return [
		['after', task.after],
		['event', task.codes],
	];
}

/** SQL of (subject_id, time): when what is predicted happens. */
function hitsOf(task: HorizonTask): string {
	if (task.kind !== 'change') return `SELECT subject_id, time FROM events WHERE ${codeSetSql(task.codes)}`;
	const firsts = task.drugs.map(
		(codes) => `SELECT subject_id, min(time) AS time FROM events WHERE ${codeSetSql(codes)} GROUP BY subject_id`,
	);
	// Drugs that begin on one day are a combination, not a change.
	return `SELECT DISTINCT subject_id, time FROM (${firsts.join(' UNION ALL ')})
		QUALIFY ${floorDaysSql('time')} > min(${floorDaysSql('time')}) OVER (PARTITION BY subject_id)`;
}

/** A task that asks for death asks for whatever the data set calls it. */
export async function withDeaths<T extends TaskDefinition>(
	database: Database,
	task: T,
	lifeCodes: LifeCodes,
): Promise<T> {
	if (task.kind === 'change' || !task.codes.exact.includes(standardLifeCodes.death)) return task;
	const rows = await database.rows(`SELECT DISTINCT code FROM events WHERE ${lifeCodes.deathSql()} ORDER BY code`);
	const further = rows.map(({ code }) => String(code)).filter((code) => !isInCodeSet(task.codes, code));
	return { ...task, codes: { ...task.codes, exact: [...task.codes.exact, ...further] } };
}
