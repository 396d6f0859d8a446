import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import { AbortedError, DataError } from '../errors.js';
import { requirePath } from '../files/path.js';
import { hiddenNote } from '../files/visible-files.js';
import type { LongOperation, Split } from '../types.js';
import {
	checkRows,
	checkSubjects,
	checkSubjectsTogether,
	createSubjectTable,
	type EventCounts,
} from './check-events.js';
import { dataFiles } from './data-files.js';
import type { EventLayout } from './event-columns.js';
import { nearNames } from './near-names.js';
import { type Database, reading, withDatabase } from './query.js';
import { readSplits } from './read-splits.js';
import { type SplitSource, splitsFingerprint } from './splits.js';
import { arrowTypes } from './validate/arrow-types.js';
import { type DatasetJson, readDatasetJson } from './validate/dataset-json.js';
import { Findings } from './validate/rule.js';
import { checkSchema, schemas } from './validate/schemas.js';
import { findingNotes, refuseErrors } from './validate/to-reader.js';

export { eventsSql } from './event-columns.js';

/** A MEDS data set on disk whose rules were checked. */
export interface MedsDataset {
	readonly directory: string;
	/** Data files, absolute, sorted. */
	readonly files: readonly string[];
	/** The same files by the columns that they have. */
	readonly layouts: readonly EventLayout[];
	readonly name: string;
	readonly etl: { readonly name: string; readonly version: string };
	/** SHA-256 over the files' names, sizes and footers. */
	readonly fingerprint: string;
	/** Subjects with events of each split, ascending. */
	readonly subjects: Readonly<Record<Split, readonly bigint[]>>;
	/** What decided the splits, and SHA-256 over who is in which. */
	readonly splits: { readonly source: SplitSource; readonly fingerprint: string };
	readonly events: number;
	/** Of the hidden files that were passed over; also among `notes`. */
	readonly hiddenNote: string | undefined;
	/** What was accepted although MEDS 0.4 asks for something else, and what to know about the data. */
	readonly notes: readonly string[];
}

/** A MEDS data set whose columns were checked, and its rows not. */
export type MedsFiles = Omit<MedsDataset, 'subjects' | 'splits' | 'events'>;

/**
 * Opens a MEDS folder and checks what every reader leans on; docs/meds.md has the policy on each kind of bad input. The
 * events are read once; memory holds the subjects.
 *
 * @throws {DataError} Names file, column, rule and value. {AbortedError}
 */
export async function openMeds(directory: string, operation: LongOperation = {}): Promise<MedsDataset> {
	requirePath('meds', 'directory', directory);
	return withDatabase({}, async (database) => {
		const dataset = await openFiles(database, directory);
		const notes = [...dataset.notes];
		await createSubjectTable(database);
		const counts = await eachFile(dataset, operation, async (name, layout) => {
			const counts = await checkRows(database, name, layout);
			await checkSubjects(database, name, layout);
			return counts;
		});
		await checkSubjectsTogether(database);
		notes.push(...countNotes(counts));
		const { source, subjects } = await readSplits(database, dataset, notes);
		const splits = { source, fingerprint: splitsFingerprint(subjects) };
		return { ...dataset, subjects, splits, events: counts.events, notes };
	});
}

/**
 * Opens a MEDS folder without reading its rows, for what reads all of them anyway and checks them on the way.
 *
 * @throws {DataError} Names file, column, rule and value.
 */
export async function openMedsFiles(directory: string): Promise<MedsFiles> {
	requirePath('meds', 'directory', directory);
	return withDatabase({}, (database) => openFiles(database, directory));
}

async function openFiles(database: Database, directory: string): Promise<MedsFiles> {
	const { files: names, hidden } = await dataFiles('meds', directory);
	const files = names.map((name) => join(directory, name));
	const findings = new Findings();
	const layouts = await readLayouts(database, names, files, findings);
	const metadata = await readMetadata(directory);
	const passedOver = hiddenNote(hidden);
	return {
		directory,
		files,
		layouts: grouped(layouts),
		name: metadata.dataset_name ?? 'unnamed data set',
		etl: { name: metadata.etl_name ?? 'unknown', version: metadata.etl_version ?? 'unknown' },
		fingerprint: await fingerprint(names, files),
		hiddenNote: passedOver,
		notes: [passedOver, nearNote(layouts), ...findingNotes(findings)].filter((note) => note !== undefined),
	};
}

/** Columns of each file, and what is unusual about them. @throws {DataError} For a file that no reader could use. */
async function readLayouts(
	database: Database,
	names: readonly string[],
	files: readonly string[],
	findings: Findings,
): Promise<FileLayout[]> {
	const layouts: FileLayout[] = [];
	for (const [i, path] of files.entries()) {
		const name = names[i]!;
		const types = await arrowTypes(database, 'meds', name, path);
		const found = new Findings();
		const columns = checkSchema(name, types, schemas.data, found);
		refuseErrors(found);
		for (const { count, first, ...rule } of found.list()) findings.add(rule, count, first);
		const further = [...types.keys()].filter((column) => !(column in schemas.data.columns));
		layouts.push({
			path,
			columns: Object.fromEntries([...further.map((column) => [column, column] as const), ...columns!]),
			types: JSON.stringify([...types]),
		});
	}
	return layouts;
}

/** Columns that no reader takes though their names are nearly those of columns that are taken. */
function nearNote(layouts: readonly FileLayout[]): string | undefined {
	const found = [...new Set(layouts.flatMap(({ columns }) => Object.values(columns)))];
	const read = [...new Set(layouts.flatMap(({ columns }) => readNames.map((name) => columns[name] ?? name)))];
	const near = nearNames(found, [...read, 'units']);
	if (near.length === 0) return undefined;
	return `columns that are not read, with names like those that are: ${near.sort().join(', ')}`;
}

const readNames = [...Object.keys(schemas.data.columns), 'unit', 'table'];

interface FileLayout {
	readonly path: string;
	readonly columns: Readonly<Record<string, string>>;
	/** Equal for files that one query reads. */
	readonly types: string;
}

function grouped(layouts: readonly FileLayout[]): EventLayout[] {
	const groups = new Map<string, { files: string[]; columns: FileLayout['columns'] }>();
	for (const { path, columns, types } of layouts) {
		const group = groups.get(types);
		if (group === undefined) groups.set(types, { files: [path], columns });
		else group.files.push(path);
	}
	return [...groups.values()];
}

/**
 * Checks each row by itself, for what looks at the order of rows and at subjects while it reads them.
 *
 * @returns How many there are, and what to know about them.
 * @throws {DataError} Names file, column, rule and value. {AbortedError}
 */
export async function checkMedsRows(
	database: Database,
	dataset: MedsFiles,
	operation: LongOperation,
): Promise<{ readonly events: number; readonly notes: readonly string[] }> {
	const counts = await eachFile(dataset, operation, (name, layout) => checkRows(database, name, layout));
	return { events: counts.events, notes: countNotes(counts) };
}

async function eachFile(
	{ directory, layouts }: MedsFiles,
	operation: LongOperation,
	check: (name: string, layout: EventLayout) => Promise<EventCounts>,
): Promise<EventCounts> {
	const total: EventCounts = {
		events: 0,
		values: 0,
		notFinite: 0,
		negativeSubjects: 0,
		longestCode: 0,
		missingCodes: 0,
		missingTexts: 0,
		missingUnits: 0,
	};
	// One after the other: a layout is that of a single file here, so that every message names it.
	const single = layouts.flatMap(({ files, columns }) => files.map((path) => ({ path, columns })));
	for (const [done, { path, columns }] of single.entries()) {
		if (operation.signal?.aborted) throw new AbortedError('[meds] aborted', { cause: operation.signal.reason });
		operation.onProgress?.({ stage: 'check MEDS', done, total: single.length, unit: 'files' });
		const name = relative(directory, path).split(sep).join('/');
		const counts = await reading('meds', name, () => check(name, { files: [path], columns }));
		total.events += counts.events;
		total.values += counts.values;
		total.notFinite += counts.notFinite;
		total.negativeSubjects += counts.negativeSubjects;
		total.missingCodes += counts.missingCodes;
		total.missingTexts += counts.missingTexts;
		total.missingUnits += counts.missingUnits;
		total.longestCode = Math.max(total.longestCode, counts.longestCode);
	}
	if (total.events === 0)
		throw new DataError('meds', { file: 'data', rule: 'must hold at least one event', value: '0 rows' });
	return total;
}

// Codes of ETLs have tens of characters; a longer one is a text that went into the wrong column.
const longCode = 256;

function countNotes(counts: EventCounts): string[] {
	const { values, notFinite, negativeSubjects, longestCode, missingCodes, missingTexts, missingUnits } = counts;
	const notes: string[] = [];
	if (values === 0) notes.push('numeric_value is null in every row: the model sees codes only');
	if (notFinite > 0) notes.push(`${notFinite} values are NaN or infinite and are read as null`);
	if (negativeSubjects > 0)
		notes.push(`${negativeSubjects} rows have a negative subject_id; they are read as they are`);
	if (missingTexts + missingUnits > 0)
		notes.push(`${missingTexts} texts and ${missingUnits} units are a word for none, such as NA, and are read as none`);
	if (missingCodes > 0)
		notes.push(
			`${missingCodes} rows have a word for none, such as NA, or blanks alone as their code; MEDS has no null codes, so it stays`,
		);
	if (longestCode > longCode) notes.push(`the longest code has ${longestCode} characters; codes are kept whole`);
	return notes;
}

async function readMetadata(directory: string): Promise<DatasetJson> {
	const findings = new Findings();
	const metadata = await readDatasetJson(directory, findings);
	refuseErrors(findings);
	return metadata ?? {};
}

/** Names, sizes and the last 64 KB of each file: the parquet footer holds counts, extremes and checksums of the columns. */
async function fingerprint(names: readonly string[], files: readonly string[]): Promise<string> {
	const hash = createHash('sha256');
	for (const [i, path] of files.entries()) {
		const file = await open(path, 'r');
		try {
			const { size } = await file.stat();
			const tail = Buffer.alloc(Math.min(size, 65_536));
			await file.read(tail, 0, tail.length, size - tail.length);
			hash.update(`${names[i]}\0${size}\0`).update(tail);
		} finally {
			await file.close();
		}
	}
	return hash.digest('hex');
}
