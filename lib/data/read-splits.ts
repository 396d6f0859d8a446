import { createHash } from 'node:crypto';
import { lstat, readFile } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import type { DuckDBBigIntVector, DuckDBVarCharVector } from '@duckdb/node-api';
import { DataError } from '../errors.js';
import { parquetFiles } from '../files/duckdb-files.js';
import { faultOf } from '../files/faults.js';
import { type Split, splits } from '../types.js';
import { subjectApart } from './check-events.js';
import { type EventLayout, eventsSql, layoutsOf } from './event-columns.js';
import { type Database, identifier, quoted, reading } from './query.js';
import { folderSplit, hashedSplit, type SplitSource } from './splits.js';
import { arrowTypes } from './validate/arrow-types.js';
import { Findings } from './validate/rule.js';
import { checkSchema, schemas } from './validate/schemas.js';
import { findingNotes, refuseErrors } from './validate/to-reader.js';

export const splitsFile = 'metadata/subject_splits.parquet';

/**
 * Subjects with events by split, ascending, as {@link loadSplits} decides them. Needs the table subject_rows.
 *
 * @throws {DataError} A subject with no or several splits in the file, none of the known splits, a held-out subject in
 * data/train/.
 */
export async function readSplits(
	database: Database,
	dataset: SplitFiles,
	notes: string[],
): Promise<{ readonly source: SplitSource; readonly subjects: Record<Split, bigint[]> }> {
	const subjects: Record<Split, bigint[]> = { train: [], tuning: [], held_out: [] };
	const source = await loadSplits(database, dataset, notes);
	if (source === 'file') await checkFolders(database, notes);
	const query =
		source === 'hash'
			? 'SELECT subject_id, NULL::VARCHAR FROM subject_rows ORDER BY subject_id'
			: 'SELECT subject_id, split FROM subject_rows LEFT JOIN split_file USING (subject_id) ORDER BY subject_id';
	let without = 0;
	for await (const chunk of database.stream(query)) {
		const ids = chunk.getColumnVector(0) as DuckDBBigIntVector;
		const names = chunk.getColumnVector(1) as DuckDBVarCharVector;
		for (let row = 0; row < chunk.rowCount; row++) {
			const subject = ids.getItem(row)!;
			const split = source === 'hash' ? hashedSplit(subject) : names.getItem(row);
			if (isSplit(split)) subjects[split].push(subject);
			else if (split === null) without++;
		}
	}
	if (without > 0) notes.push(`${without} subjects with events are in no split and are left out`);
	if (source === 'file') await noteSubjects(database, notes);
	for (const split of splits) {
		if (subjects[split].length === 0) notes.push(`split ${split} has no subject with events`);
	}
	return { source, subjects };
}

/** What of a data set decides its splits. */
export interface SplitFiles {
	readonly directory: string;
	/** Data files, absolute. */
	readonly files: readonly string[];
	readonly layouts: readonly EventLayout[];
}

/**
 * Decides the splits of a data set, the same way for every command: `metadata/subject_splits.parquet` where there is one,
 * else the folders train, tuning and held_out below data/, else a hash of subject_id. The first two fill the table split_file.
 *
 * @throws {DataError} A subject with no or several splits, none of the known splits.
 */
export async function loadSplits(database: Database, dataset: SplitFiles, notes: string[]): Promise<SplitSource> {
	if (await hasSplitsFile(dataset.directory)) {
		await loadSplitsFile(database, join(dataset.directory, splitsFile), notes);
		return 'file';
	}
	return (await loadFolders(database, dataset, notes)) ? 'folders' : 'hash';
}

/** Whether a data set brings a splits file. */
async function hasSplitsFile(directory: string): Promise<boolean> {
	try {
		// Not where a link leads: one to nowhere is a splits file that is gone.
		await lstat(join(directory, splitsFile));
		return true;
	} catch (cause) {
		const { code, message } = cause as NodeJS.ErrnoException;
		if (code === 'ENOENT' || code === 'ENOTDIR') return false;
		throw new DataError('meds', { file: splitsFile, rule: 'must be readable', value: message }, { cause });
	}
}

/** What {@link loadSplits} goes by, in a few bytes: another splits file gives another text. */
export async function splitsKey(directory: string): Promise<string> {
	if (!(await hasSplitsFile(directory))) return 'none';
	const bytes = await readFile(join(directory, splitsFile)).catch((cause: NodeJS.ErrnoException) => {
		throw new DataError('meds', { file: splitsFile, rule: 'must be readable', value: faultOf(cause) }, { cause });
	});
	return createHash('sha256').update(bytes).digest('hex');
}

/**
 * Reads a splits file (MEDS subject_splits) into the table split_file.
 *
 * @param file - What messages call it.
 * @throws {DataError} A subject with no or several splits, none of the known splits.
 */
export async function loadSplitsFile(
	database: Database,
	path: string,
	notes: string[],
	file = splitsFile,
): Promise<void> {
	const findings = new Findings();
	const types = await arrowTypes(database, 'meds', file, path);
	const columns = checkSchema(file, types, schemas.splits, findings);
	refuseErrors(findings);
	notes.push(...findingNotes(findings));
	await reading('meds', file, () =>
		database.run(
			`CREATE TABLE split_file AS SELECT ${identifier(columns!.get('subject_id')!)}::BIGINT AS subject_id,
			${identifier(columns!.get('split')!)}::VARCHAR AS split FROM ${parquetFiles(path)}`,
		),
	);
	await checkSplitFile(database, file);
}

/**
 * Checks the table split_file (subject_id, split).
 *
 * @param file - Where it comes from.
 * @throws {DataError} A null, a subject with several splits, none of the known splits.
 */
export async function checkSplitFile(database: Database, file: string): Promise<void> {
	const [found] = await database.rows(
		`SELECT (SELECT count(*) FROM split_file WHERE subject_id IS NULL OR split IS NULL)::DOUBLE AS nulls,
			(SELECT min(subject_id) FROM (SELECT subject_id FROM split_file GROUP BY subject_id HAVING count(*) > 1)) AS twice,
			(SELECT count(*) FROM split_file WHERE split IN (${names}))::DOUBLE AS known,
			(SELECT string_agg(name, ', ' ORDER BY name) FROM (SELECT DISTINCT left(split, 20) AS name FROM split_file ORDER BY 1 LIMIT 5)) AS found`,
	);
	if (Number(found?.nulls) > 0) {
		throw new DataError('meds', { file, rule: 'must not hold nulls', value: `${found?.nulls} rows with one` });
	}
	if (found?.twice !== null) {
		throw new DataError('meds', {
			file,
			column: 'subject_id',
			rule: 'must be unique',
			value: `subject ${found?.twice} in several rows`,
			fix: 'a subject is in one split: keep one row of each',
		});
	}
	if (Number(found.known) === 0) {
		throw new DataError('meds', {
			file,
			column: 'split',
			rule: `must use the names ${splits.join(', ')}`,
			value: String(found.found ?? 'no rows'),
			fix: 'rename the splits',
		});
	}
}

/** Takes the splits from folders into the table split_file. @returns Whether there are any. */
async function loadFolders(
	database: Database,
	{ directory, files, layouts }: SplitFiles,
	notes: string[],
): Promise<boolean> {
	const placed = files.map((path) => {
		const name = relative(directory, path).split(sep).join('/');
		return { path, name, split: folderSplit(name) };
	});
	if (placed.every(({ split }) => split === undefined)) {
		notes.push(
			`${splitsFile} is missing, and no folder below data/ is called ${splits.join(', ')}: splits follow from a hash of subject_id (70/15/15)`,
		);
		return false;
	}
	const found = splits.filter((split) => placed.some((file) => file.split === split));
	const outside = placed.filter(({ split }) => split === undefined);
	notes.push(
		`${splitsFile} is missing: splits are those of the folders ${found.join(', ')}${
			outside.length === 0
				? ''
				: `; ${outside.length} files in no such folder are in no split, the first is ${outside[0]!.name}`
		}`,
	);
	await database.run('CREATE TABLE split_file (subject_id BIGINT, split VARCHAR)');
	for (const split of found) {
		const own = placed.filter((file) => file.split === split).map(({ path }) => path);
		const events = eventsSql({ layouts: layoutsOf(layouts, own) });
		await database.run(`INSERT INTO split_file SELECT DISTINCT subject_id, ${quoted(split)} FROM (${events})`);
	}
	const [twice] = await database.rows(
		`SELECT subject_id, string_agg('data/' || split, ' and ' ORDER BY split) AS folders FROM split_file
		GROUP BY subject_id HAVING count(*) > 1 ORDER BY subject_id LIMIT 1`,
	);
	if (twice !== undefined) throw subjectApart(String(twice.folders), `subject ${twice.subject_id} in each`);
	return true;
}

/** A folder named after a split tells other readers which split its subjects are in. */
async function checkFolders(database: Database, notes: string[]): Promise<void> {
	const [found] = await database.rows(
		`SELECT (count(*) FILTER (folder = 'train' AND split = 'held_out'))::DOUBLE AS leaked,
			min(subject_id) FILTER (folder = 'train' AND split = 'held_out') AS first,
			(count(*) FILTER (folder IN (${names}) AND folder <> split))::DOUBLE AS moved
		FROM subject_rows JOIN split_file USING (subject_id)`,
	);
	if (Number(found?.leaked) > 0) {
		throw heldOutInTrain(`${found?.leaked} of them, first subject ${found?.first}`);
	}
	const moved = Number(found?.moved);
	if (moved > 0)
		notes.push(`${moved} subjects lie in the folder of another split than ${splitsFile} names; the file decides`);
}

/** A held-out subject lies in data/train/. */
export function heldOutInTrain(value: string): DataError {
	return new DataError('meds', {
		file: 'data/train',
		rule: `must not hold subjects that ${splitsFile} holds out: whoever reads by folder trains on them`,
		value,
		fix: 'move the subjects, or correct their split',
	});
}

async function noteSubjects(database: Database, notes: string[]): Promise<void> {
	const others = await database.rows(
		`SELECT split, count(*)::DOUBLE AS n FROM subject_rows JOIN split_file USING (subject_id)
		WHERE split NOT IN (${names}) GROUP BY split ORDER BY split`,
	);
	for (const { split, n } of others) {
		notes.push(
			`${n} subjects with events are in split "${split}", which is none of ${splits.join(', ')}, and are left out`,
		);
	}
	const [eventless] = await database.rows(
		'SELECT count(*)::DOUBLE AS n FROM split_file ANTI JOIN subject_rows USING (subject_id)',
	);
	if (Number(eventless?.n) > 0) notes.push(`${eventless?.n} subjects of ${splitsFile} have no events`);
}

const names = splits.map(quoted).join(', ');

export function isSplit(name: string | null): name is Split {
	return splits.includes(name as Split);
}
