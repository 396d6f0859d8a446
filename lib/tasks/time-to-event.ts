import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { floorDaysSql } from '../data/day-sql.js';
import type { LifeCodes } from '../data/life-codes.js';
import type { Database } from '../data/query.js';
import { copyToParquet } from '../files/duckdb-files.js';
import { microsecondsPerDay } from '../types.js';
import { codeSetSql } from './code-set.js';
import { decidingCodes } from './deciding-codes.js';
import { describeTask, isIncident, type TimeToEventTask } from './definitions.js';
import { createHits } from './hits.js';
import { withDeaths } from './horizon-labels.js';
import type { TimeToEventEntry } from './read.js';

/** Folder of the labels below that of the task. */
const timeToEventFolder = 'time-to-event';

/**
 * Writes the labels of a task of kind `time-to-event` in the MEDS label schema: `boolean_value` says whether the event was seen,
 * `float_value` the days from the prediction time to it, or to the end of follow-up. Follow-up ends with the last event of the
 * record or at death; whoever dies of something else is censored then, and counted. Needs the tables events, subjects,
 * index_dates and first_seen.
 */
export async function writeTimeToEvent(
	database: Database,
	folder: string,
	definition: TimeToEventTask,
	bufferDays: number,
	lifeCodes: LifeCodes,
): Promise<TimeToEventEntry> {
	const task = await withDeaths(database, definition, lifeCodes);
	const matchingEvents = await createHits(
		database,
		`SELECT subject_id, time FROM events WHERE ${codeSetSql(task.codes)}`,
	);
	const from = `(${floorDaysSql('i.t')} + 1 + ${bufferDays}) * ${microsecondsPerDay}`;
	await database.run(
		`CREATE OR REPLACE TEMP TABLE samples AS SELECT i.subject_id, i.t, i.split,
			coalesce(bool_or(h.time <= i.t), false) AS before,
			coalesce(bool_or(h.time > i.t AND h.time < ${from}), false) AS in_buffer,
			min(h.time) FILTER (h.time >= ${from}) AS event_time,
			least(any_value(s.last_time), any_value(s.death_time)) AS end_time,
			coalesce(any_value(s.death_time) <= any_value(s.last_time), false) AS dies
		FROM index_dates i JOIN subjects s USING (subject_id) LEFT JOIN hits h ON h.subject_id = i.subject_id
		GROUP BY i.subject_id, i.t, i.split`,
	);
	const prevalent = isIncident(task) ? 'before' : 'false';
	const asked = `NOT ${prevalent} AND NOT in_buffer`;
	const usable = `${asked} AND (event_time IS NOT NULL OR end_time > t)`;
	const directory = join(task.name, timeToEventFolder);
	await mkdir(join(folder, directory), { recursive: true });
	await database.run(
		`CREATE OR REPLACE TEMP TABLE labels AS SELECT subject_id, t, event_time IS NOT NULL AS value,
			((coalesce(event_time, end_time) - t) / ${microsecondsPerDay}.0)::FLOAT AS days
		FROM samples WHERE ${usable} ORDER BY subject_id, t`,
	);
	await database.run(
		copyToParquet(
			`SELECT subject_id, make_timestamp(t) AS prediction_time, value AS boolean_value, days AS float_value
			FROM labels ORDER BY subject_id, t`,
			join(folder, directory, '0.parquet'),
		),
	);
	const count = (condition: string, name: string) => `(count(*) FILTER (${condition}))::INTEGER AS ${name}`;
	const [counts] = await database.rows(
		`SELECT ${[
			count(usable, 'samples'),
			count(`${usable} AND event_time IS NOT NULL`, 'events'),
			count(`${usable} AND event_time IS NULL AND dies`, 'died'),
			count(prevalent, 'prevalent'),
			count(`NOT ${prevalent} AND in_buffer`, 'buffered'),
			count(`${asked} AND NOT (event_time IS NOT NULL OR end_time > t)`, 'unfollowed'),
		].join(', ')}, (count(DISTINCT subject_id) FILTER (${usable}))::INTEGER AS patients FROM samples`,
	);
	const of = (name: string) => Number(counts?.[name] ?? 0);
	return {
		name: task.name,
		label: task.label,
		definition: describeTask(task),
		horizonsDays: [...new Set(task.horizonsDays)].sort((a, b) => a - b),
		directory,
		matchingEvents,
		samples: of('samples'),
		events: of('events'),
		died: of('died'),
		patients: of('patients'),
		excluded: { prevalent: of('prevalent'), inBuffer: of('buffered'), withoutFollowUp: of('unfollowed') },
		decidingCodes: await decidingCodes(database),
	};
}
