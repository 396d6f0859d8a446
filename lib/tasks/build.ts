import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { DuckDBBigIntVector } from '@duckdb/node-api';
import { z } from 'zod';
import { nonNegativeInteger, parseConfig, positiveInteger, seed } from '../config.js';
import { eventsSql, type MedsDataset, openMeds } from '../data/meds.js';
import { type Database, quoted, withDatabase } from '../data/query.js';
import { ConfigError, DataError } from '../errors.js';
import { writeWhole, writeWholeFolder } from '../files/whole.js';
import { RandomStream } from '../random.js';
import { type LongOperation, type Split, splits } from '../types.js';
import { commonTasks, describeTask, TaskDefinition } from './definitions.js';
import type { TaskList, TaskListEntry } from './read.js';

export const BuildTasksOptions = z.strictObject({
	tasks: z.array(TaskDefinition).min(1),
	/** Index dates drawn per patient. */
	perPatient: positiveInteger.default(4),
	/** Days with events that a patient must have up to the index date. */
	minHistoryDays: positiveInteger.default(3),
	seed: seed.default(1),
	/** Folder of ready label sets (MEDS `<task>/*.parquet`); their index dates are added. */
	externalLabels: z.string().optional(),
	/** Events on the index day and this many days after it belong to no target: a buffer against leaks. */
	bufferDays: nonNegativeInteger.default(0),
});
export type BuildTasksOptions = z.input<typeof BuildTasksOptions>;

/**
 * Draws index dates and writes labels: `index_dates.parquet`, `tasks.json` and, per task and horizon, a folder in the MEDS
 * label schema.
 *
 * An index date is the last event time of a day with events, before the day of death and before the record's last day. A
 * target counts from the day after the index date up to `prediction_time + horizon`. A sample is positive when a matching
 * event lies there, negative when none does and either the record reaches the horizon or the patient died before it, and
 * otherwise censored: left out and counted.
 *
 * @throws {DataError} {ConfigError} {OutputError} {AbortedError}
 */
export async function buildTasks(
	meds: string,
	out: string,
	options: BuildTasksOptions = { tasks: [...commonTasks] },
	operation: LongOperation = {},
): Promise<TaskList> {
	const config = parseConfig('tasks', BuildTasksOptions, options);
	const names = config.tasks.map(({ name }) => name);
	if (new Set(names).size !== names.length)
		throw new ConfigError(`[tasks] names must be unique but are ${names.join(', ')}`);
	return writeWholeFolder(out, async (folder) => {
		const dataset = await openMeds(meds, config.seed);
		return withDatabase({}, async (database) => {
			operation.onProgress?.({ stage: 'index dates', done: 0, total: config.tasks.length + 1, unit: 'tasks' });
			await loadEvents(database, dataset);
			await drawIndexDates(database, dataset, config, operation.signal);
			const entries: TaskListEntry[] = [];
			for (const [i, task] of config.tasks.entries()) {
				entries.push(...(await writeLabels(database, folder, task, config.bufferDays)));
				operation.onProgress?.({ stage: 'labels', done: i + 1, total: config.tasks.length + 1, unit: 'tasks' });
			}
			if (config.externalLabels !== undefined) {
				entries.push(...(await copyExternalLabels(database, folder, config.externalLabels)));
			}
			await database.run(
				`COPY (SELECT subject_id, make_timestamp(t) AS prediction_time, split FROM index_dates ORDER BY subject_id, t)
				TO ${quoted(join(folder, 'index_dates.parquet'))} (FORMAT parquet)`,
			);
			const counts = await database.rows('SELECT split, count(*)::INTEGER AS n FROM index_dates GROUP BY split');
			const countOf = (split: Split) => Number(counts.find((row) => row.split === split)?.n ?? 0);
			const list: TaskList = {
				format: 'ehr-jepa/tasks',
				version: 1,
				dataFingerprint: dataset.fingerprint,
				rule:
					`up to ${config.perPatient} days with events per patient, drawn with seed ${config.seed}, after at least ${config.minHistoryDays} such days, ` +
					'before the day of death and the last day of the record; prediction time is the last event of the day, inclusive',
				indexDates: { train: countOf('train'), tuning: countOf('tuning'), held_out: countOf('held_out') },
				tasks: entries,
			};
			await writeWhole(join(folder, 'tasks.json'), `${JSON.stringify(list, undefined, '\t')}\n`);
			return list;
		});
	});
}

async function loadEvents(database: Database, dataset: MedsDataset): Promise<void> {
	await database.run(
		`CREATE TABLE events AS SELECT subject_id, time, code FROM (${eventsSql(dataset)})
		WHERE time IS NOT NULL AND NOT (code = 'MEDS_BIRTH' OR code LIKE 'MEDS_BIRTH//%')`,
	);
	await database.run('CREATE TABLE subject_splits (subject_id BIGINT, split VARCHAR)');
	const appender = await database.connection.createAppender('subject_splits');
	for (const split of splits) {
		for (const subjectId of dataset.subjects[split]) {
			appender.appendBigInt(subjectId);
			appender.appendVarchar(split);
			appender.endRow();
		}
	}
	appender.closeSync();
	await database.run(
		`CREATE TABLE subjects AS SELECT e.subject_id, any_value(s.split) AS split, max(e.time) AS last_time,
			min(e.time) FILTER (e.code = 'MEDS_DEATH' OR e.code LIKE 'MEDS_DEATH//%') AS death_time
		FROM events e JOIN subject_splits s USING (subject_id) GROUP BY e.subject_id`,
	);
}

async function drawIndexDates(
	database: Database,
	dataset: MedsDataset,
	config: z.output<typeof BuildTasksOptions>,
	signal: AbortSignal | undefined,
): Promise<void> {
	await database.run('CREATE TABLE index_dates (subject_id BIGINT, t BIGINT, split VARCHAR)');
	const day = (column: string) => `date_trunc('day', make_timestamp(${column}))`;
	const candidates = `SELECT subject_id, t FROM (
			SELECT e.subject_id, max(e.time) AS t, row_number() OVER (PARTITION BY e.subject_id ORDER BY max(e.time)) AS days
			FROM events e JOIN subjects s USING (subject_id)
			WHERE ${day('e.time')} < ${day('s.last_time')} AND (s.death_time IS NULL OR ${day('e.time')} < ${day('s.death_time')})
			GROUP BY e.subject_id, ${day('e.time')})
		WHERE days >= ${config.minHistoryDays} ORDER BY subject_id, t`;
	const splitOf = new Map<bigint, Split>(
		splits.flatMap((split) => dataset.subjects[split].map((id): [bigint, Split] => [id, split])),
	);
	const appender = await database.connection.createAppender('index_dates');
	const take = (subjectId: bigint, times: bigint[]) => {
		const random = new RandomStream(
			config.seed,
			'indexDate',
			Number(BigInt.asUintN(32, subjectId)),
			Number(BigInt.asUintN(24, subjectId >> 32n)),
		);
		for (const time of random.shuffle(times).slice(0, config.perPatient)) {
			appender.appendBigInt(subjectId);
			appender.appendBigInt(time);
			appender.appendVarchar(splitOf.get(subjectId)!);
			appender.endRow();
		}
	};
	let current: bigint | undefined;
	let times: bigint[] = [];
	for await (const chunk of database.stream(candidates, signal)) {
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

function matches(task: TaskDefinition): string {
	return [
		...task.codes.exact.map((code) => `code = ${quoted(code)}`),
		...task.codes.prefix.map((prefix) => `starts_with(code, ${quoted(prefix)})`),
	].join(' OR ');
}

async function writeLabels(
	database: Database,
	folder: string,
	task: TaskDefinition,
	bufferDays: number,
): Promise<TaskListEntry[]> {
	if (task.codes.exact.length + task.codes.prefix.length === 0) {
		throw new ConfigError(`[tasks] ${task.name}: codes must name at least one code or prefix but names none`);
	}
	await database.run(`CREATE OR REPLACE TEMP TABLE hits AS SELECT subject_id, time FROM events WHERE ${matches(task)}`);
	const [hits] = await database.rows('SELECT count(*)::INTEGER AS n FROM hits');
	const entries: TaskListEntry[] = [];
	for (const horizon of task.horizonsDays) {
		const dayUs = 86_400_000_000n;
		const from = `(i.t // ${dayUs} + 1 + ${bufferDays}) * ${dayUs}`;
		const until = `i.t + ${BigInt(horizon) * dayUs}`;
		await database.run(
			`CREATE OR REPLACE TEMP TABLE samples AS SELECT i.subject_id, i.t, i.split,
				EXISTS (SELECT 1 FROM hits h WHERE h.subject_id = i.subject_id AND h.time <= i.t) AS before,
				EXISTS (SELECT 1 FROM hits h WHERE h.subject_id = i.subject_id AND h.time > i.t AND h.time < ${from}) AS in_buffer,
				EXISTS (SELECT 1 FROM hits h WHERE h.subject_id = i.subject_id AND h.time >= ${from} AND h.time <= ${until}) AS hit,
				s.last_time >= ${until} AS followed,
				coalesce(s.death_time > i.t AND s.death_time <= ${until}, false) AS died
			FROM index_dates i JOIN subjects s USING (subject_id)`,
		);
		const incident = task.kind === 'incident';
		const prevalent = incident ? 'before' : 'false';
		const usable = `NOT ${prevalent} AND NOT in_buffer AND (hit OR followed OR died)`;
		const directory = join(task.name, `${horizon}d`);
		await mkdir(join(folder, directory), { recursive: true });
		await database.run(
			`COPY (SELECT subject_id, make_timestamp(t) AS prediction_time, hit AS boolean_value FROM samples WHERE ${usable} ORDER BY subject_id, t)
			TO ${quoted(join(folder, directory, '0.parquet'))} (FORMAT parquet)`,
		);
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
			},
		});
	}
	return entries;
}

async function copyExternalLabels(database: Database, folder: string, source: string): Promise<TaskListEntry[]> {
	const names = (await readdir(source, { withFileTypes: true }).catch(() => []))
		.filter((entry) => entry.isDirectory())
		.map(({ name }) => name)
		.sort();
	if (names.length === 0)
		throw new DataError('tasks', { file: source, rule: 'must hold label folders', value: 'none' });
	const entries: TaskListEntry[] = [];
	for (const name of names) {
		const files = quoted(join(source, name, '**', '*.parquet'));
		await database.run(
			`CREATE OR REPLACE TEMP TABLE labels AS SELECT l.subject_id::BIGINT AS subject_id, epoch_us(l.prediction_time::TIMESTAMP) AS t,
				l.boolean_value::BOOLEAN AS boolean_value, s.split FROM read_parquet(${files}) l JOIN subject_splits s ON s.subject_id = l.subject_id`,
		);
		await database.run(
			'INSERT INTO index_dates SELECT DISTINCT subject_id, t, split FROM labels WHERE (subject_id, t) NOT IN (SELECT subject_id, t FROM index_dates)',
		);
		const directory = join('external', name);
		await mkdir(join(folder, directory), { recursive: true });
		await database.run(
			`COPY (SELECT subject_id, make_timestamp(t) AS prediction_time, boolean_value FROM labels ORDER BY subject_id, t)
			TO ${quoted(join(folder, directory, '0.parquet'))} (FORMAT parquet)`,
		);
		const [counts] = await database.rows(
			'SELECT count(*)::INTEGER AS samples, (count(*) FILTER (boolean_value))::INTEGER AS positives, count(DISTINCT subject_id)::INTEGER AS patients FROM labels',
		);
		entries.push({
			name: `external/${name}`,
			label: name.replaceAll('_', ' '),
			definition: 'label set that came with the data',
			horizonDays: null,
			directory,
			matchingEvents: null,
			samples: Number(counts?.samples ?? 0),
			positives: Number(counts?.positives ?? 0),
			patients: Number(counts?.patients ?? 0),
			excluded: { censored: 0, prevalent: 0, inBuffer: 0 },
		});
	}
	return entries;
}
