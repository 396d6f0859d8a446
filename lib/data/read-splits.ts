import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { DuckDBBigIntVector, DuckDBVarCharVector } from '@duckdb/node-api';
import { DataError } from '../errors.js';
import { parquetFiles } from '../files/duckdb-files.js';
import { type Split, splits } from '../types.js';
import { type Database, identifier, quoted } from './query.js';
import { drawSplit } from './splits.js';
import { arrowTypes } from './validate/arrow-types.js';
import { Findings } from './validate/rule.js';
import { checkSchema, schemas } from './validate/schemas.js';
import { findingNotes, refuseErrors } from './validate/to-reader.js';

const file = 'metadata/subject_splits.parquet';

/**
 * Subjects with events by split, ascending, from `metadata/subject_splits.parquet`, or drawn where there is none. Needs
 * the table subject_rows.
 *
 * @throws {DataError} A subject with no or several splits in the file, none of the known splits, a held-out subject in
 * data/train/.
 */
export async function readSplits(
	database: Database,
	directory: string,
	seed: number,
	notes: string[],
): Promise<Record<Split, bigint[]>> {
	const result: Record<Split, bigint[]> = { train: [], tuning: [], held_out: [] };
	const present = await loadSplits(database, directory, seed, notes);
	if (present) await checkFolders(database, notes);
	const query = present
		? `SELECT subject_id, split FROM subject_rows LEFT JOIN split_file USING (subject_id) ORDER BY subject_id`
		: 'SELECT subject_id, NULL::VARCHAR FROM subject_rows ORDER BY subject_id';
	let without = 0;
	for await (const chunk of database.stream(query)) {
		const subjects = chunk.getColumnVector(0) as DuckDBBigIntVector;
		const names = chunk.getColumnVector(1) as DuckDBVarCharVector;
		for (let row = 0; row < chunk.rowCount; row++) {
			const subject = subjects.getItem(row)!;
			const split = present ? names.getItem(row) : drawSplit(subject, seed);
			if (isSplit(split)) result[split].push(subject);
			else if (split === null) without++;
		}
	}
	if (without > 0) notes.push(`${without} subjects with events are in no split and are left out`);
	if (present) await noteSubjects(database, notes);
	for (const split of splits) {
		if (result[split].length === 0) notes.push(`split ${split} has no subject with events`);
	}
	return result;
}

/**
 * Reads `metadata/subject_splits.parquet` into the table split_file.
 *
 * @returns Whether there is one; otherwise the splits are drawn.
 * @throws {DataError} A subject with no or several splits in the file, none of the known splits.
 */
export async function loadSplits(
	database: Database,
	directory: string,
	seed: number,
	notes: string[],
): Promise<boolean> {
	const path = join(directory, file);
	const present = await stat(path).then(
		() => true,
		() => false,
	);
	if (!present) {
		notes.push(`${file} is missing: splits were drawn with seed ${seed} (70/15/15 by subject)`);
		return false;
	}
	const findings = new Findings();
	const columns = checkSchema(file, await arrowTypes(database, path), schemas.splits, findings);
	refuseErrors(findings);
	notes.push(...findingNotes(findings));
	await database.run(
		`CREATE TABLE split_file AS SELECT ${identifier(columns!.get('subject_id')!)}::BIGINT AS subject_id,
			${identifier(columns!.get('split')!)}::VARCHAR AS split FROM ${parquetFiles(path)}`,
	);
	const [found] = await database.rows(
		`SELECT (SELECT count(*) FROM split_file WHERE subject_id IS NULL OR split IS NULL)::DOUBLE AS nulls,
			(SELECT min(subject_id) FROM (SELECT subject_id FROM split_file GROUP BY subject_id HAVING count(*) > 1)) AS twice,
			(SELECT count(*) FROM split_file WHERE split IN (${names}))::DOUBLE AS known,
			(SELECT string_agg(DISTINCT split, ', ' ORDER BY split) FROM split_file) AS found`,
	);
	if (Number(found?.nulls) > 0) {
		throw new DataError('meds', { file, rule: 'must not hold nulls', value: `${found?.nulls} rows with one` });
	}
	if (found?.twice !== null) {
		throw new DataError('meds', { file, column: 'subject_id', rule: 'must be unique', value: String(found?.twice) });
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
	return true;
}

/** A folder that is called as a split says what another reader takes its subjects for. */
async function checkFolders(database: Database, notes: string[]): Promise<void> {
	const [found] = await database.rows(
		`SELECT (count(*) FILTER (folder = 'train' AND split = 'held_out'))::DOUBLE AS leaked,
			min(subject_id) FILTER (folder = 'train' AND split = 'held_out') AS first,
			(count(*) FILTER (folder IN (${names}) AND folder <> split))::DOUBLE AS moved
		FROM (SELECT subject_id, split, split_part(file, '/', 2) AS folder FROM subject_rows JOIN split_file USING (subject_id))`,
	);
	if (Number(found?.leaked) > 0) {
		throw heldOutInTrain(`${found?.leaked} of them, first subject ${found?.first}`);
	}
	const moved = Number(found?.moved);
	if (moved > 0)
		notes.push(`${moved} subjects lie in the folder of another split than ${file} names; the file decides`);
}

/** A held-out subject lies in data/train/. */
export function heldOutInTrain(value: string): DataError {
	return new DataError('meds', {
		file: 'data/train',
		rule: `must not hold subjects that ${file} holds out: whoever reads by folder trains on them`,
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
	if (Number(eventless?.n) > 0) notes.push(`${eventless?.n} subjects of ${file} have no events`);
}

const names = splits.map(quoted).join(', ');

function isSplit(name: string | null): name is Split {
	return splits.includes(name as Split);
}
