import { join, relative, sep } from 'node:path';
import { z } from 'zod';
import { filePath, nonNegativeDays, parseConfig, positiveInteger, seed } from '../config.js';
import { birthCandidates, withoutBirthNote } from '../data/birth-candidates.js';
import { LifeCodeOptions, LifeCodes } from '../data/life-codes.js';
import { eventsSql, type MedsDataset, openMeds } from '../data/meds.js';
import { type Database, withDatabase } from '../data/query.js';
import { ConfigError, DataError } from '../errors.js';
import { copyToParquet } from '../files/duckdb-files.js';
import { requirePath } from '../files/path.js';
import { writeWhole, writeWholeFolder } from '../files/whole.js';
import { inDays } from '../text/in-days.js';
import { type LongOperation, type Split, splits } from '../types.js';
import { AcesTaskSource, acesFolder, addAcesTasks } from './aces-tasks.js';
import { CodeSet, codeSetSql } from './code-set.js';
import { createFirstSeen, describeDecidingCode, namedCodes } from './deciding-codes.js';
import { commonTasks, TaskDefinition } from './definitions.js';
import { writeHorizonLabels } from './horizon-labels.js';
import { addIndexDays, createIndexTables } from './index-days.js';
import { describeIndexRule, IndexRule, indexRuleName } from './index-rules.js';
import {
	type ClassTaskEntry,
	indexDatesFingerprint,
	readIndexDates,
	type TaskList,
	type TaskListEntry,
	type TimeToEventEntry,
} from './read.js';
import { addReadyLabels, readyFolder, readyRule } from './ready-labels.js';
import { writeTimeToEvent } from './time-to-event.js';
import { unmatchedHiding, unmatchedRules, unmatchedTasks } from './unmatched.js';

export const BuildTasksOptions = z.strictObject({
	tasks: z.array(TaskDefinition),
	/** Tasks in the form of ACES, with index dates of their own. */
	acesTasks: z.array(AcesTaskSource).default([]),
	/** Which days are index dates; the default draws days with events. */
	indexRules: z
		.array(IndexRule)
		.min(1)
		.default([{ kind: 'random' }]),
	/** Index dates drawn per patient by the rule `random`. */
	perPatient: positiveInteger.default(4),
	/** Days with events that a patient must have up to the index date. */
	minHistoryDays: positiveInteger.default(3),
	/** Draws the index dates, and nothing else: splits are those of the data set. */
	seed: seed.default(1),
	/** Folder of ready label sets (MEDS `<task>/**.parquet`); their index dates are added. */
	externalLabels: filePath.optional(),
	/** Events on the index day and this many days after it belong to no target: a buffer against leaks. */
	bufferDays: nonNegativeDays.default(0),
	/** Index dates so many days or fewer before the day of death are left out; 0 leaves out the day itself. */
	dropDaysBeforeDeath: nonNegativeDays.default(0),
	/** Codes whose events neither encoders nor baselines may see. */
	hideCodes: CodeSet.prefault({}),
	/** Also hide every code of the history that nearly decides a label. */
	hideDecidingCodes: z.boolean().default(false),
	/** Codes of birth and death beside the usual ones. */
	lifeCodes: LifeCodeOptions.prefault({}),
});
export type BuildTasksOptions = z.input<typeof BuildTasksOptions>;

/**
 * Chooses index dates and writes labels: `index_dates.parquet`, `index_rules.parquet` (which rule gave each, and the days since
 * its anchor), `tasks.json` and, per task and horizon, a folder in the MEDS label schema.
 *
 * An index date is the last event time of a day, or its end where the rule names a day without events; before the day of
 * death and before the record's last day. A target counts from the day after the index date up to `prediction_time + horizon`. A sample is positive when a matching
 * event lies there, negative when none does and either the record reaches the horizon or the patient died before it, and
 * otherwise censored: left out and counted. Of a task of kind `time-to-event` the labels are days to the first event or to the end of
 * follow-up, in one folder for all horizons. Codes of the history that nearly decide a label are named, and warned of.
 *
 * @throws {DataError} {ConfigError} {OutputError} {AbortedError}
 */
export async function buildTasks(
	meds: string,
	out: string,
	options: BuildTasksOptions = { tasks: [...commonTasks] },
	operation: LongOperation = {},
): Promise<TaskList> {
	requirePath('tasks', 'meds', meds);
	requirePath('tasks', 'out', out);
	const config = parseConfig('tasks', BuildTasksOptions, options);
	const names = config.tasks.map(({ name }) => name);
	if (new Set(names).size !== names.length)
		throw new ConfigError(`[tasks] names must be unique but are ${names.join(', ')}`);
	const taken = [readyFolder, acesFolder].find((folder) => names.includes(folder));
	if (taken !== undefined)
		throw new ConfigError(`[tasks] name must not be ${taken}, the folder of tasks of another kind; choose another`);
	if (config.tasks.length + config.acesTasks.length === 0)
		throw new ConfigError('[tasks] must name at least one task but names none');
	const acesNames = config.acesTasks.map(({ name }) => name);
	if (new Set(acesNames).size !== acesNames.length)
		throw new ConfigError(`[tasks] acesTasks must have different names but have ${acesNames.join(', ')}`);
	const ruleNames = config.indexRules.map(indexRuleName);
	if (new Set(ruleNames).size !== ruleNames.length || ruleNames.includes(readyRule)) {
		throw new ConfigError(
			`[tasks] indexRules must have different names, none of them ${readyRule}, but have ${ruleNames.join(', ')}; give rules of one kind a name each`,
		);
	}
	const lifeCodes = new LifeCodes(config.lifeCodes);
	return writeWholeFolder(out, async (folder) => {
		const dataset = await openMeds(meds);
		return withDatabase({}, async (database) => {
			operation.onProgress?.({ stage: 'index dates', done: 0, total: config.tasks.length + 1, unit: 'tasks' });
			await loadEvents(database, dataset, lifeCodes);
			const notes = [...dataset.notes, ...(await birthNotes(database, lifeCodes))];
			await createIndexTables(database);
			const indexRules: TaskList['indexRules'] = [];
			for (const rule of config.indexRules) {
				const counts = await addIndexDays(database, rule, config, lifeCodes, operation.signal);
				indexRules.push({
					name: indexRuleName(rule),
					kind: rule.kind,
					description: describeIndexRule(rule, config.perPatient),
					...counts,
				});
			}
			notes.push(...unmatchedRules(indexRules));
			const subjectsWithoutIndexDates = await countWithout(database, dataset);
			const entries: TaskListEntry[] = [];
			const timeToEvent: TimeToEventEntry[] = [];
			const classes: ClassTaskEntry[] = [];
			for (const [i, task] of config.tasks.entries()) {
				if (task.kind === 'time-to-event')
					timeToEvent.push(await writeTimeToEvent(database, folder, task, config.bufferDays, lifeCodes));
				else entries.push(...(await writeHorizonLabels(database, folder, task, config.bufferDays, lifeCodes)));
				operation.onProgress?.({ stage: 'labels', done: i + 1, total: config.tasks.length + 1, unit: 'tasks' });
			}
			entries.push(...(await addAcesTasks(database, folder, config.acesTasks)));
			notes.push(...unmatchedTasks([...entries, ...timeToEvent]));
			if (config.externalLabels !== undefined) {
				const shards = dataset.files.map((file) => relative(join(meds, 'data'), file).split(sep).join('/'));
				const ready = await addReadyLabels(database, folder, config.externalLabels, shards);
				entries.push(...ready.entries);
				classes.push(...ready.classes);
				if (ready.note !== undefined) notes.push(ready.note);
			}
			await database.run(
				copyToParquet(
					'SELECT subject_id, make_timestamp(t) AS prediction_time, split FROM index_dates ORDER BY subject_id, t',
					join(folder, 'index_dates.parquet'),
				),
			);
			await database.run(
				copyToParquet(
					`SELECT subject_id, make_timestamp(t) AS prediction_time, rule, days_since_anchor FROM index_rules
					ORDER BY subject_id, t, rule, days_since_anchor`,
					join(folder, 'index_rules.parquet'),
				),
			);
			await requireIndexDates(database, meds, indexRules);
			const answered = [...entries, ...[...timeToEvent, ...classes].map((entry) => ({ ...entry, horizonDays: null }))];
			const hiddenCodes = await codesToHide(database, config, answered);
			notes.push(...(await unmatchedHiding(database, config.hideCodes)));
			notes.push(...answerNotes(answered, hiddenCodes));
			for (const note of notes) operation.onWarning?.(note);
			const counts = await database.rows('SELECT split, count(*)::INTEGER AS n FROM index_dates GROUP BY split');
			const countOf = (split: Split) => Number(counts.find((row) => row.split === split)?.n ?? 0);
			const list: TaskList = {
				format: 'ehr-jepa/tasks',
				version: 2,
				dataFingerprint: dataset.fingerprint,
				splitting: dataset.splits,
				indexDatesFingerprint: indexDatesFingerprint(await readIndexDates(folder)),
				lifeCodes: lifeCodes.given,
				rule: describeRules(config),
				indexDates: { train: countOf('train'), tuning: countOf('tuning'), held_out: countOf('held_out') },
				subjectsWithoutIndexDates,
				indexRules,
				hiddenCodes,
				tasks: entries.map(withNamedCodes),
				timeToEvent: timeToEvent.map(withNamedCodes),
				classes: classes.map(withNamedCodes),
				notes,
			};
			await writeWhole(join(folder, 'tasks.json'), `${JSON.stringify(list, undefined, '\t')}\n`);
			return list;
		});
	});
}

/** @throws {DataError} For no index date at all: nothing could be embedded or evaluated. */
async function requireIndexDates(database: Database, meds: string, indexRules: TaskList['indexRules']): Promise<void> {
	const [found] = await database.rows('SELECT count(*)::DOUBLE AS n FROM index_dates');
	if (Number(found?.n) > 0) return;
	throw new DataError('tasks', {
		file: meds,
		rule: 'must hold at least one index date',
		value: ['none', ...unmatchedRules(indexRules)].join('; '),
		fix: 'use another index rule, or ask for fewer days of history (--index-rules, --min-history-days)',
	});
}

function withNamedCodes<T extends Pick<TaskListEntry | ClassTaskEntry, 'decidingCodes'>>(entry: T): T {
	return { ...entry, decidingCodes: entry.decidingCodes.slice(0, namedCodes) };
}

async function loadEvents(database: Database, dataset: MedsDataset, lifeCodes: LifeCodes): Promise<void> {
	await database.run(`CREATE TABLE all_events AS SELECT subject_id, time, code, value FROM (${eventsSql(dataset)})`);
	await database.run(
		`CREATE VIEW events AS SELECT subject_id, time, code FROM all_events WHERE time IS NOT NULL AND NOT ${lifeCodes.birthSql()}`,
	);
	await createFirstSeen(database);
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
			min(e.time) FILTER (${lifeCodes.deathSql()}) AS death_time
		FROM events e JOIN subject_splits s USING (subject_id) GROUP BY e.subject_id`,
	);
}

async function birthNotes(database: Database, lifeCodes: LifeCodes): Promise<string[]> {
	const [found] = await database.rows(
		`SELECT count(*)::DOUBLE AS subjects, (count(*) FILTER (NOT born))::DOUBLE AS without FROM (
			SELECT bool_or(time IS NOT NULL AND ${lifeCodes.birthSql()}) AS born FROM all_events GROUP BY subject_id)`,
	);
	const [subjects, without] = [Number(found?.subjects), Number(found?.without)];
	if (without === 0) return [];
	return [withoutBirthNote(without, subjects, await birthCandidates(database, 'SELECT * FROM all_events', lifeCodes))];
}

/** Subjects with events for whom the rule left no index date. */
async function countWithout(database: Database, dataset: MedsDataset): Promise<Record<Split, number>> {
	const rows = await database.rows(
		'SELECT split, count(DISTINCT subject_id)::DOUBLE AS n FROM index_dates GROUP BY split',
	);
	const without = (split: Split) =>
		dataset.subjects[split].length - Number(rows.find((row) => row.split === split)?.n ?? 0);
	return { train: without('train'), tuning: without('tuning'), held_out: without('held_out') };
}

function describeRules({ indexRules, perPatient, seed, ...config }: z.output<typeof BuildTasksOptions>): string {
	const rules = indexRules.map((rule) => describeIndexRule(rule, perPatient)).join('; ');
	const days = indexRules.every(({ kind }) => kind === 'random') ? 'such days' : 'days with events';
	const isDrawn = indexRules.some((rule) => rule.kind === 'random' || rule.perPatient !== undefined);
	const limits =
		config.dropDaysBeforeDeath === 0
			? 'before the day of death and the last day of the record'
			: `more than ${inDays(config.dropDaysBeforeDeath)} before the day of death and before the last day of the record`;
	const buffer =
		config.bufferDays === 0
			? ''
			: `; events on that day and up to ${inDays(config.bufferDays)} after it belong to no target`;
	return (
		`${rules}${isDrawn ? `, drawn with seed ${seed}` : ''}, after at least ${config.minHistoryDays} ${days}, ` +
		`${limits}; prediction time is the last event of the day, inclusive${buffer}`
	);
}

/** Codes of the data that are to be hidden, ascending. */
async function codesToHide(
	database: Database,
	{ hideCodes, hideDecidingCodes }: z.output<typeof BuildTasksOptions>,
	entries: readonly Pick<TaskListEntry | ClassTaskEntry, 'decidingCodes'>[],
): Promise<string[]> {
	const named = await database.rows(`SELECT DISTINCT code FROM all_events WHERE ${codeSetSql(hideCodes)}`);
	const deciding = hideDecidingCodes
		? entries.flatMap(({ decidingCodes }) => decidingCodes.map(({ code }) => code))
		: [];
	return [...new Set([...named.map(({ code }) => String(code)), ...deciding])].sort();
}

/** What of the history may hold the answer, and what of that is hidden. */
function answerNotes(
	entries: readonly (Pick<TaskListEntry, 'label' | 'horizonDays'> &
		Pick<TaskListEntry | ClassTaskEntry, 'decidingCodes'>)[],
	hiddenCodes: readonly string[],
): string[] {
	const hidden = new Set(hiddenCodes);
	const open = entries.flatMap(({ label, horizonDays, decidingCodes }) => {
		const seen = decidingCodes.filter(({ code }) => !hidden.has(code)).slice(0, namedCodes);
		if (seen.length === 0) return [];
		return [
			`the answer may stand in the history of ${label}${horizonDays === null ? '' : `, ${inDays(horizonDays)}`}: ` +
				`${seen.map(describeDecidingCode).join('; ')}; --hide-deciding-codes (hideDecidingCodes) hides such codes from encoders and baselines, and a buffer between history and target (--buffer-days, bufferDays) keeps out what is written down with the event`,
		];
	});
	if (hidden.size === 0) return open;
	return [...open, `events of ${hidden.size} codes are hidden from encoders and baselines: ${hiddenCodes.join(', ')}`];
}
