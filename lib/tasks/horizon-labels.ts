import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { floorDaysSql } from '../data/day-sql.js';
import { type LifeCodes, standardLifeCodes } from '../data/life-codes.js';
import type { Database } from '../data/query.js';
import { copyToParquet } from '../files/duckdb-files.js';
import { microsecondsPerDay } from '../types.js';
import { codeSetSql, isInCodeSet } from './code-set.js';
import { decidingCodes } from './deciding-codes.js';
import { describeTask, isIncident, type TaskDefinition } from './definitions.js';
import { labelColumns } from './load-labels.js';
import type { TaskListEntry } from './read.js';

/**
 * Writes the labels of one task, a folder for each horizon. Needs the tables events, subjects, index_dates and first_seen.
 */
export async function writeHorizonLabels(
	database: Database,
	folder: string,
	definition: TaskDefinition,
	bufferDays: number,
	lifeCodes: LifeCodes,
): Promise<TaskListEntry[]> {
	const task = await withDeaths(database, definition, lifeCodes);
	await database.run(
		`CREATE OR REPLACE TEMP TABLE hits AS SELECT subject_id, time FROM events WHERE ${codeSetSql(task.codes)}`,
	);
	const [hits] = await database.rows('SELECT count(*)::INTEGER AS n FROM hits');
	const entries: TaskListEntry[] = [];
	for (const horizon of task.horizonsDays) {
		const from = `(${floorDaysSql('i.t')} + 1 + ${bufferDays}) * ${microsecondsPerDay}`;
		const until = `i.t + ${BigInt(horizon) * microsecondsPerDay}`;
		await database.run(
			`CREATE OR REPLACE TEMP TABLE samples AS SELECT i.subject_id, i.t, i.split,
				EXISTS (SELECT 1 FROM hits h WHERE h.subject_id = i.subject_id AND h.time <= i.t) AS before,
				EXISTS (SELECT 1 FROM hits h WHERE h.subject_id = i.subject_id AND h.time > i.t AND h.time < ${from}) AS in_buffer,
				EXISTS (SELECT 1 FROM hits h WHERE h.subject_id = i.subject_id AND h.time >= ${from} AND h.time <= ${until}) AS hit,
				s.last_time >= ${until} AS followed,
				coalesce(s.death_time > i.t AND s.death_time <= ${until}, false) AS died
			FROM index_dates i JOIN subjects s USING (subject_id)`,
		);
		const prevalent = isIncident(task) ? 'before' : 'false';
		const usable = `NOT ${prevalent} AND NOT in_buffer AND (hit OR followed OR died)`;
		const directory = join(task.name, `${horizon}d`);
		await mkdir(join(folder, directory), { recursive: true });
		await database.run(
			`CREATE OR REPLACE TEMP TABLE labels AS SELECT subject_id, t, hit AS value FROM samples WHERE ${usable} ORDER BY subject_id, t`,
		);
		await database.run(copyToParquet(labelColumns, join(folder, directory, '0.parquet')));
		const [counts] = await database.rows(
			`SELECT (count(*) FILTER (${usable}))::INTEGER AS samples, (count(*) FILTER (${usable} AND hit))::INTEGER AS positives,
				(count(DISTINCT subject_id) FILTER (${usable}))::INTEGER AS patients,
				(count(*) FILTER (${prevalent}))::INTEGER AS prevalent, (count(*) FILTER (NOT ${prevalent} AND in_buffer))::INTEGER AS buffered,
				(count(*) FILTER (NOT ${prevalent} AND NOT in_buffer AND NOT (hit OR followed OR died)))::INTEGER AS censored FROM samples`,
		);
		entries.push({
			name: task.name,
			label: task.label,
			definition: describeTask(task),
			horizonDays: horizon,
			directory,
			matchingEvents: Number(hits?.n ?? 0),
			samples: Number(counts?.samples ?? 0),
			positives: Number(counts?.positives ?? 0),
			patients: Number(counts?.patients ?? 0),
			excluded: {
				censored: Number(counts?.censored ?? 0),
				prevalent: Number(counts?.prevalent ?? 0),
				inBuffer: Number(counts?.buffered ?? 0),
				unlabelled: 0,
				repeated: 0,
				withoutSplit: 0,
				withoutEvents: 0,
			},
			decidingCodes: await decidingCodes(database),
		});
	}
	return entries;
}

/** A task that asks for death asks for whatever the data set calls it. */
export async function withDeaths(
	database: Database,
	task: TaskDefinition,
	lifeCodes: LifeCodes,
): Promise<TaskDefinition> {
	if (!task.codes.exact.includes(standardLifeCodes.death)) return task;
	const rows = await database.rows(`SELECT DISTINCT code FROM events WHERE ${lifeCodes.deathSql()} ORDER BY code`);
	const further = rows.map(({ code }) => String(code)).filter((code) => !isInCodeSet(task.codes, code));
	return { ...task, codes: { ...task.codes, exact: [...task.codes.exact, ...further] } };
}
