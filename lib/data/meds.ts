import { createHash } from 'node:crypto';
import { open, readdir, readFile, stat } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { DataError } from '../errors.js';
import type { Split } from '../types.js';
import { splits } from '../types.js';
import { type Database, quoted, withDatabase } from './query.js';
import { drawSplit } from './splits.js';

/** A MEDS data set on disk whose rules were checked. */
export interface MedsDataset {
	readonly directory: string;
	/** Data files, absolute, sorted. */
	readonly files: readonly string[];
	readonly name: string;
	readonly etl: { readonly name: string; readonly version: string };
	/** SHA-256 over the files' names, sizes and footers. */
	readonly fingerprint: string;
	/** Subjects of each split, ascending. */
	readonly subjects: Readonly<Record<Split, readonly bigint[]>>;
	readonly events: number;
	/** What was accepted although MEDS 0.4 asks for something else, and what to know about the data. */
	readonly notes: readonly string[];
}

/**
 * SQL that reads all events with normalised columns: subject_id, time (microseconds, null is static), code, value.
 *
 * @param extra - More columns, as SQL.
 */
export function eventsSql(files: readonly string[], extra: readonly string[] = []): string {
	const list = files.map(quoted).join(', ');
	const more = extra.map((column) => `, ${column}`).join('');
	return `SELECT subject_id::BIGINT AS subject_id, epoch_us(time::TIMESTAMP) AS time, code::VARCHAR AS code,
		CASE WHEN isfinite(numeric_value::FLOAT) THEN numeric_value::FLOAT END AS value, filename, file_row_number${more}
		FROM read_parquet([${list}], filename = true, file_row_number = true, union_by_name = true)`;
}

/**
 * Opens a MEDS folder and checks it: columns and types, null subject_id or code, one file per subject, contiguous and
 * time-ordered subjects.
 *
 * @param seed - Draws the splits when the data set brings none.
 * @throws {DataError} Names file, column, rule and value.
 */
export async function openMeds(directory: string, seed = 1): Promise<MedsDataset> {
	const files = await dataFiles(directory);
	const notes: string[] = [];
	return withDatabase({}, async (database) => {
		for (const file of files) await checkColumns(database, directory, file, notes);
		await checkRows(database, files, directory, notes);
		const metadata = await readMetadata(directory);
		const subjects = await readSplits(database, directory, files, seed, notes);
		const [row] = await database.rows(`SELECT count(*)::INTEGER AS n FROM (${eventsSql(files)})`);
		return {
			directory,
			files,
			name: metadata.dataset_name ?? 'unnamed data set',
			etl: { name: metadata.etl_name ?? 'unknown', version: metadata.etl_version ?? 'unknown' },
			fingerprint: await fingerprint(directory, files),
			subjects,
			events: Number(row?.n ?? 0),
			notes,
		};
	});
}

/** A MEDS data set whose columns were checked, and its rows not. */
export type MedsFiles = Omit<MedsDataset, 'subjects' | 'events'>;

/**
 * Opens a MEDS folder without reading its rows: what reads all of them anyway checks them on the way.
 *
 * @throws {DataError} Names file, column, rule and value.
 */
export async function openMedsFiles(directory: string): Promise<MedsFiles> {
	const files = await dataFiles(directory);
	const notes: string[] = [];
	await withDatabase({}, async (database) => {
		for (const file of files) await checkColumns(database, directory, file, notes);
	});
	const metadata = await readMetadata(directory);
	return {
		directory,
		files,
		name: metadata.dataset_name ?? 'unnamed data set',
		etl: { name: metadata.etl_name ?? 'unknown', version: metadata.etl_version ?? 'unknown' },
		fingerprint: await fingerprint(directory, files),
		notes,
	};
}

async function dataFiles(directory: string): Promise<string[]> {
	const root = join(directory, 'data');
	let names: string[];
	try {
		names = (await readdir(root, { recursive: true })).filter((name) => name.endsWith('.parquet')).sort();
	} catch (cause) {
		throw new DataError(
			'meds',
			{
				file: root,
				rule: 'must be a folder of parquet files',
				fix: 'give the root of a MEDS data set (it holds data/ and metadata/)',
			},
			{ cause },
		);
	}
	if (names.length === 0)
		throw new DataError('meds', { file: root, rule: 'must hold at least one .parquet file', value: 'none' });
	const files = names.map((name) => join(root, name));
	for (const file of files) {
		if ((await stat(file)).size < 12)
			throw new DataError('meds', {
				file: relative(directory, file),
				rule: 'must be a parquet file',
				value: 'an empty or truncated file',
			});
	}
	return files;
}

const acceptedTypes: Readonly<Record<string, RegExp>> = {
	subject_id: /^(BIGINT|INTEGER|UINTEGER|SMALLINT)$/,
	time: /^TIMESTAMP/,
	code: /^(VARCHAR|ENUM.*)$/,
	numeric_value: /^(FLOAT|DOUBLE|DECIMAL.*|INTEGER|BIGINT)$/,
};

async function checkColumns(database: Database, directory: string, file: string, notes: string[]): Promise<void> {
	const name = relative(directory, file);
	let columns: Map<string, string>;
	try {
		const rows = await database.rows(`DESCRIBE SELECT * FROM read_parquet(${quoted(file)})`);
		columns = new Map(rows.map((row) => [String(row.column_name), String(row.column_type)]));
	} catch (cause) {
		throw new DataError(
			'meds',
			{ file: name, rule: 'must be a readable parquet file', value: (cause as Error).message },
			{ cause },
		);
	}
	for (const [column, accepted] of Object.entries(acceptedTypes)) {
		const type = columns.get(column);
		if (type === undefined) {
			if (column === 'numeric_value' && columns.has('value')) {
				throw new DataError('meds', {
					file: name,
					column: 'value',
					rule: 'must be called numeric_value, or every value would be lost',
					fix: 'rename the column',
				});
			}
			throw new DataError('meds', {
				file: name,
				column,
				rule: 'must be present',
				value: [...columns.keys()].join(', '),
			});
		}
		if (!accepted.test(type))
			throw new DataError('meds', { file: name, column, rule: `must match ${accepted.source}`, value: type });
		if (column === 'time' && type !== 'TIMESTAMP')
			notes.push(`${name}: time is ${type}, read as microseconds without zone`);
	}
}

async function checkRows(
	database: Database,
	files: readonly string[],
	directory: string,
	notes: string[],
): Promise<void> {
	const list = files.map(quoted).join(', ');
	const [counts] = await database.rows(
		`SELECT count(*)::INTEGER AS n, (count(*) FILTER (subject_id IS NULL))::INTEGER AS null_subjects,
			(count(*) FILTER (code IS NULL))::INTEGER AS null_codes, count(numeric_value)::INTEGER AS valued,
			(count(*) FILTER (numeric_value IS NOT NULL AND NOT isfinite(numeric_value::FLOAT)))::INTEGER AS not_finite,
			min(filename) FILTER (subject_id IS NULL OR code IS NULL) AS bad_file
		FROM read_parquet([${list}], filename = true, union_by_name = true)`,
	);
	const count = (name: string) => Number(counts?.[name] ?? 0);
	const badFile = relative(directory, String(counts?.bad_file ?? directory));
	if (count('n') === 0)
		throw new DataError('meds', { file: 'data', rule: 'must hold at least one event', value: '0 rows' });
	if (count('null_subjects') > 0) {
		throw new DataError('meds', {
			file: badFile,
			column: 'subject_id',
			rule: 'must not be null',
			value: `${count('null_subjects')} nulls`,
		});
	}
	if (count('null_codes') > 0) {
		throw new DataError('meds', {
			file: badFile,
			column: 'code',
			rule: 'must not be null',
			value: `${count('null_codes')} nulls`,
		});
	}
	if (count('valued') === 0) notes.push('numeric_value is null in every row: the model sees codes only');
	if (count('not_finite') > 0) notes.push(`${count('not_finite')} values are NaN or infinite and are read as null`);
	const ordered = `SELECT subject_id, filename, file_row_number, epoch_us(time::TIMESTAMP) AS time,
		lag(subject_id) OVER w AS previous_subject, lag(epoch_us(time::TIMESTAMP)) OVER w AS previous_time
		FROM read_parquet([${list}], filename = true, file_row_number = true, union_by_name = true)
		WINDOW w AS (PARTITION BY filename ORDER BY file_row_number)`;
	const [backwards] = await database.rows(
		`SELECT subject_id, filename, file_row_number FROM (${ordered})
		WHERE subject_id = previous_subject AND time < previous_time ORDER BY filename, file_row_number LIMIT 1`,
	);
	if (backwards !== undefined) {
		throw new DataError('meds', {
			file: relative(directory, String(backwards.filename)),
			column: 'time',
			rule: 'must not go backwards within a subject',
			value: `subject ${backwards.subject_id} at row ${backwards.file_row_number}`,
			fix: 'sort each file by subject_id and time',
		});
	}
	const [scattered] = await database.rows(
		`SELECT subject_id, count(*)::INTEGER AS runs, min(filename) AS filename FROM (${ordered})
		WHERE previous_subject IS NULL OR subject_id <> previous_subject GROUP BY subject_id HAVING count(*) > 1 LIMIT 1`,
	);
	if (scattered !== undefined) {
		throw new DataError('meds', {
			file: relative(directory, String(scattered.filename)),
			column: 'subject_id',
			rule: 'must hold the rows of one subject together, in one file',
			value: `subject ${scattered.subject_id} in ${scattered.runs} separate runs`,
			fix: 'sort the data by subject_id and time',
		});
	}
}

async function readMetadata(
	directory: string,
): Promise<{ dataset_name?: string; etl_name?: string; etl_version?: string }> {
	const file = join(directory, 'metadata', 'dataset.json');
	const text = await readFile(file, 'utf8').catch(() => '{}');
	try {
		return JSON.parse(text);
	} catch (cause) {
		throw new DataError(
			'meds',
			{ file: 'metadata/dataset.json', rule: 'must be JSON', value: (cause as Error).message },
			{ cause },
		);
	}
}

async function readSplits(
	database: Database,
	directory: string,
	files: readonly string[],
	seed: number,
	notes: string[],
): Promise<Record<Split, bigint[]>> {
	const list = files.map(quoted).join(', ');
	const present = await database.rows(
		`SELECT DISTINCT subject_id::BIGINT AS s FROM read_parquet([${list}]) ORDER BY s`,
	);
	const result: Record<Split, bigint[]> = { train: [], tuning: [], held_out: [] };
	const file = join(directory, 'metadata', 'subject_splits.parquet');
	const hasSplits = await stat(file).then(
		() => true,
		() => false,
	);
	if (!hasSplits) {
		for (const { s } of present) result[drawSplit(s as bigint, seed)].push(s as bigint);
		notes.push(`metadata/subject_splits.parquet is missing: splits were drawn with seed ${seed} (70/15/15 by subject)`);
		return result;
	}
	const rows = await database.rows(`SELECT subject_id::BIGINT AS s, split FROM read_parquet(${quoted(file)})`);
	const splitOf = new Map<bigint, Split>();
	for (const { s, split } of rows) {
		if (!splits.includes(split as Split)) {
			throw new DataError('meds', {
				file: 'metadata/subject_splits.parquet',
				column: 'split',
				rule: `must be one of ${splits.join(', ')}`,
				value: String(split),
			});
		}
		if (splitOf.has(s as bigint)) {
			throw new DataError('meds', {
				file: 'metadata/subject_splits.parquet',
				column: 'subject_id',
				rule: 'must be unique',
				value: String(s),
			});
		}
		splitOf.set(s as bigint, split as Split);
	}
	let without = 0;
	for (const { s } of present) {
		const split = splitOf.get(s as bigint);
		if (split === undefined) without++;
		else result[split].push(s as bigint);
	}
	if (without > 0) notes.push(`${without} subjects with events are in no split and are left out`);
	const eventless = splitOf.size - (present.length - without);
	if (eventless > 0) notes.push(`${eventless} subjects of subject_splits.parquet have no events`);
	return result;
}

/** Names, sizes and the last 64 KB of each file: the parquet footer holds counts, extremes and checksums of the columns. */
async function fingerprint(directory: string, files: readonly string[]): Promise<string> {
	const hash = createHash('sha256');
	for (const path of files) {
		const file = await open(path, 'r');
		try {
			const { size } = await file.stat();
			const tail = Buffer.alloc(Math.min(size, 65_536));
			await file.read(tail, 0, tail.length, size - tail.length);
			hash.update(`${relative(directory, path)}\0${size}\0`).update(tail);
		} finally {
			await file.close();
		}
	}
	return hash.digest('hex');
}
