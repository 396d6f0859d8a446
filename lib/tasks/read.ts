import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { DuckDBBigIntVector, DuckDBBooleanVector, DuckDBVarCharVector } from '@duckdb/node-api';
import { z } from 'zod';
import { parseConfig } from '../config.js';
import { LifeCodeOptions } from '../data/life-codes.js';
import { requireColumns } from '../data/parquet-columns.js';
import { queryFile } from '../data/query.js';
import { splitSources } from '../data/splits.js';
import { DataError } from '../errors.js';
import { parquetFiles } from '../files/duckdb-files.js';
import { readJson } from '../files/json.js';
import { requirePath } from '../files/path.js';
import { type IndexDate, type Split, splits } from '../types.js';
import { ClassDecidingCode, DecidingCode } from './deciding-codes.js';
import { labelFiles } from './label-sets.js';
import { type LabelCounts, loadLabels } from './load-labels.js';

const TaskListEntry = z.strictObject({
	name: z.string(),
	label: z.string(),
	definition: z.string(),
	/** Null for a label set that came with the data. */
	horizonDays: z.number().nullable(),
	/** Folder of the labels, relative to the task folder. */
	directory: z.string(),
	/** Events that match the task's codes; 0 means that the codes do not fit the data. */
	matchingEvents: z.int().nullable(),
	samples: z.int(),
	positives: z.int(),
	patients: z.int(),
	/** Samples that were left out, by reason; of a ready label set its rows. */
	excluded: z.strictObject({
		censored: z.int(),
		prevalent: z.int(),
		inBuffer: z.int(),
		/** Whose history lacks what the task asks for; in task folders of before it was asked for 0. */
		notAtRisk: z.int().default(0),
		/** The label is null. */
		unlabelled: z.int(),
		/** The row says again what another says. */
		repeated: z.int(),
		/** The subject has events and is in none of the splits. */
		withoutSplit: z.int(),
		/** The subject has no event in the data set. */
		withoutEvents: z.int(),
	}),
	/** Codes of the history whose presence nearly decides the label. */
	decidingCodes: z.array(DecidingCode),
	/** Of a task in the form of ACES: events that match each predicate, and samples left after each step. */
	predicates: z.array(z.strictObject({ name: z.string(), events: z.int() })).optional(),
	flow: z.array(z.strictObject({ step: z.string(), samples: z.int() })).optional(),
});
export type TaskListEntry = z.infer<typeof TaskListEntry>;

/** Days to an event, or to the end of follow-up. */
const TimeToEventEntry = z.strictObject({
	name: z.string(),
	label: z.string(),
	definition: z.string(),
	/** Where the AUROC is read, ascending. */
	horizonsDays: z.array(z.number()),
	/** Folder of the labels, relative to the task folder. */
	directory: z.string(),
	/** Events that match the task's codes; 0 means that the codes do not fit the data. */
	matchingEvents: z.int(),
	samples: z.int(),
	/** Samples to which the event comes; the others are censored. */
	events: z.int(),
	/** Of the censored, those whose follow-up ends with death. */
	died: z.int(),
	patients: z.int(),
	/** Samples that were left out, by reason. */
	excluded: z.strictObject({
		prevalent: z.int(),
		inBuffer: z.int(),
		/** The record ends at the index date. */
		withoutFollowUp: z.int(),
	}),
	/** Codes of the history whose presence nearly decides whether the event was seen. */
	decidingCodes: z.array(DecidingCode),
});
export type TimeToEventEntry = z.infer<typeof TimeToEventEntry>;

/** Labels of several classes, of a set that came with the data. */
const ClassTaskEntry = z.strictObject({
	name: z.string(),
	label: z.string(),
	definition: z.string(),
	/** Folder of the labels, relative to the task folder. */
	directory: z.string(),
	samples: z.int(),
	patients: z.int(),
	/** Samples of each class: whole numbers by size, others as texts. */
	classes: z.array(z.strictObject({ name: z.string(), samples: z.int() })),
	/** Rows that were left out, by reason. */
	excluded: TaskListEntry.shape.excluded.pick({
		unlabelled: true,
		repeated: true,
		withoutSplit: true,
		withoutEvents: true,
	}),
	/** Codes of the history whose presence nearly decides the class. */
	decidingCodes: z.array(ClassDecidingCode),
});
export type ClassTaskEntry = z.infer<typeof ClassTaskEntry>;

const splitCounts = z.strictObject({ train: z.int(), tuning: z.int(), held_out: z.int() });

/** `tasks.json` of a task folder. */
export const TaskList = z.strictObject({
	format: z.literal('ehr-jepa/tasks'),
	version: z.literal(2),
	dataFingerprint: z.string(),
	/** The splits of the index dates, as a token store holds them. */
	splitting: z.strictObject({ source: z.enum(splitSources), fingerprint: z.string() }),
	/** SHA-256 over the index dates and their splits. */
	indexDatesFingerprint: z.string(),
	/** Codes of birth and death beside the usual ones. */
	lifeCodes: LifeCodeOptions,
	/** How index dates were chosen, in words. */
	rule: z.string(),
	indexDates: splitCounts,
	/** Subjects with events for whom the rule left no index date. */
	subjectsWithoutIndexDates: splitCounts,
	/** What each rule gave; an index date may come from several. Empty in folders of before there were rules. */
	indexRules: z
		.array(
			z.strictObject({
				name: z.string(),
				kind: z.string(),
				description: z.string(),
				dates: z.int(),
				patients: z.int(),
				/** Events that match the rule's codes; null for a rule without codes. */
				matchingEvents: z.int().nullable(),
				/** Index dates that are left out since death was near. */
				beforeDeath: z.int(),
			}),
		)
		.default([]),
	/** Codes whose events neither encoders nor baselines may see, ascending. */
	hiddenCodes: z.array(z.string()).default([]),
	tasks: z.array(TaskListEntry),
	/** Times to events. Empty in folders of before there were any. */
	timeToEvent: z.array(TimeToEventEntry).default([]),
	/** Labels of several classes. Empty in folders of before there were any. */
	classes: z.array(ClassTaskEntry).default([]),
	/** What to know about the data and the tasks. */
	notes: z.array(z.string()),
});
export type TaskList = z.output<typeof TaskList>;

/** @throws {DataError} {ConfigError} */
export async function readTaskList(directory: string): Promise<TaskList> {
	requirePath('tasks', 'directory', directory);
	const file = join(directory, 'tasks.json');
	const json = await readJson(file, {
		scope: 'tasks',
		rule: 'must be a task list',
		fix: 'give the folder that tasks wrote',
	});
	if ((json as { readonly version?: unknown } | null)?.version === 1) {
		throw new DataError('tasks', {
			file,
			rule: 'must have version 2, which holds the splits',
			value: '1',
			fix: 'build the tasks again',
		});
	}
	return parseConfig(`tasks ${file}`, TaskList, json);
}

export interface IndexDateRow extends IndexDate {
	readonly split: Split;
}

/**
 * Rows of `index_dates.parquet` in file order.
 *
 * @throws {DataError} A null, a split with another name, a sample that occurs twice.
 */
export async function readIndexDates(directory: string): Promise<IndexDateRow[]> {
	requirePath('tasks', 'directory', directory);
	const file = join(directory, 'index_dates.parquet');
	return queryFile('tasks', file, {}, async (database) => {
		await requireColumns(database, 'tasks', file, {
			subject_id: 'a whole number',
			prediction_time: 'a timestamp',
			split: 'a text',
		});
		const rows: IndexDateRow[] = [];
		const seen = new Set<string>();
		const refuse = (column: string, rule: string, value: string): never => {
			throw new DataError('tasks', { file, column, rule, value, fix: 'build the tasks again' });
		};
		for await (const chunk of database.stream(
			`SELECT subject_id::BIGINT, CASE WHEN isfinite(prediction_time) THEN epoch_us(prediction_time) END, split::VARCHAR FROM ${parquetFiles(file)}`,
		)) {
			const subjects = chunk.getColumnVector(0) as DuckDBBigIntVector;
			const times = chunk.getColumnVector(1) as DuckDBBigIntVector;
			const names = chunk.getColumnVector(2) as DuckDBVarCharVector;
			for (let row = 0; row < chunk.rowCount; row++) {
				const place = `row ${rows.length}`;
				const subjectId = subjects.getItem(row) ?? refuse('subject_id', 'must not be null', place);
				const predictionTime = times.getItem(row) ?? refuse('prediction_time', 'must not be null', place);
				const split = splits.find((name) => name === names.getItem(row));
				if (split === undefined) return refuse('split', `must be one of ${splits.join(', ')}`, place);
				const date = { subjectId, predictionTime, split };
				const key = sampleKey(date);
				if (seen.has(key)) refuse('prediction_time', 'must occur once for a subject', `${place}, subject ${subjectId}`);
				seen.add(key);
				rows.push(date);
			}
		}
		return rows;
	});
}

/** A task folder: its list and its index dates, which belong together. */
export interface TaskFolder {
	readonly list: TaskList;
	readonly indexDates: readonly IndexDateRow[];
}

/** @throws {DataError} {ConfigError} Also when the index dates are not those that the list was written with. */
export async function readTasks(directory: string): Promise<TaskFolder> {
	const list = await readTaskList(directory);
	const indexDates = await readIndexDates(directory);
	const found = indexDatesFingerprint(indexDates);
	if (found !== list.indexDatesFingerprint) {
		throw new DataError('tasks', {
			file: join(directory, 'index_dates.parquet'),
			rule: `must hold the index dates of tasks.json (${list.indexDatesFingerprint.slice(0, 12)})`,
			value: `${found.slice(0, 12)}, ${indexDates.length} index dates`,
			fix: 'build the tasks again',
		});
	}
	return { list, indexDates };
}

/** SHA-256 over index dates and their splits, whatever their order. */
export function indexDatesFingerprint(dates: readonly IndexDateRow[]): string {
	const hash = createHash('sha256');
	for (const key of dates.map((date) => `${sampleKey(date)} ${date.split}\n`).sort()) hash.update(key);
	return hash.digest('hex');
}

export interface LabelRow extends IndexDate {
	readonly value: boolean;
}

/**
 * Labels of one task and horizon (MEDS label schema), by subject and time; null labels are left out.
 *
 * @param passedOver - Receives the hidden files.
 * @throws {DataError} Another schema, two labels for one sample, no file.
 */
export async function readLabels(directory: string, passedOver: string[] = []): Promise<LabelRow[]> {
	requirePath('tasks', 'directory', directory);
	return (await readLabelFiles(await labelFiles(directory, passedOver), { mayBeEmpty: true })).labels;
}

/**
 * The same of named files, with what was left out.
 *
 * @throws {DataError} Also when they hold no label, unless they may.
 */
export function readLabelFiles(
	files: readonly string[],
	{ mayBeEmpty }: { readonly mayBeEmpty: boolean },
): Promise<{ readonly labels: LabelRow[]; readonly counts: LabelCounts }> {
	return queryFile('labels', files[0] ?? 'labels', {}, async (database) => {
		const counts = await loadLabels(database, files, { mayBeEmpty });
		const rows: LabelRow[] = [];
		for await (const chunk of database.stream('SELECT subject_id, t, value FROM labels ORDER BY subject_id, t')) {
			const subjects = chunk.getColumnVector(0) as DuckDBBigIntVector;
			const times = chunk.getColumnVector(1) as DuckDBBigIntVector;
			const values = chunk.getColumnVector(2) as DuckDBBooleanVector;
			for (let row = 0; row < chunk.rowCount; row++) {
				rows.push({
					subjectId: subjects.getItem(row)!,
					predictionTime: times.getItem(row)!,
					value: values.getItem(row)!,
				});
			}
		}
		return { labels: rows, counts };
	});
}

/** Key of a sample, for joins. */
export function sampleKey({ subjectId, predictionTime }: IndexDate): string {
	return `${subjectId}@${predictionTime}`;
}

/** SHA-256 over hidden codes, as a file of states holds it; of none `none`. */
export function hiddenCodesFingerprint(codes: readonly string[]): string {
	return codes.length === 0 ? 'none' : createHash('sha256').update(JSON.stringify(codes)).digest('hex');
}
