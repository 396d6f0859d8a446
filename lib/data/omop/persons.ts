import { setImmediate } from 'node:timers/promises';
import type { DuckDBBigIntVector } from '@duckdb/node-api';
import { DataError } from '../../errors.js';
import { parquetFiles } from '../../files/duckdb-files.js';
import { type Split, splits } from '../../types.js';
import type { Database } from '../query.js';
import { drawSplit } from '../splits.js';
import { TableWriter } from '../table-writer.js';
import { Columns } from './columns.js';
import { readableTable, type SourceTable } from './source-table.js';
import { earliestTime, latestTime } from './time-range.js';

/** A data file of the output: persons of one split, ascending. */
export interface Shard {
	/** Value of `persons.shard` and of the staged rows. */
	readonly id: number;
	readonly split: Split;
	/** Number within the split. */
	readonly index: number;
}

// Leaves room for the shards of a split in one integer.
const shardsPerSplit = 1_000_000;

/** SQL of a person's birth: the datetime, else the parts of the date with January and 1 where they are missing. */
export function birthSql(columns: Columns): string {
	const part = (name: string, missing: string) => `coalesce(${columns.id([name])}, ${missing})`;
	const parts = `TRY_CAST(format('{:04d}-{:02d}-{:02d}', ${columns.id(['year_of_birth'])},
		${part('month_of_birth', '1')}, ${part('day_of_birth', '1')}) AS TIMESTAMP)`;
	return `coalesce(${columns.datetime(['birth_datetime'])}, ${columns.day(['birth_datetime'])}, ${parts})`;
}

/**
 * Makes the table `persons`: subject_id, shard, birth, death. Splits are a function of (seed, person_id) alone.
 *
 * @throws {DataError} For a person_id that is not unique, or when there is no person.
 */
export async function loadPersons(
	database: Database,
	person: SourceTable,
	death: SourceTable | undefined,
	{ seed, personsPerFile }: { readonly seed: number; readonly personsPerFile: number },
	signal: AbortSignal | undefined,
): Promise<Shard[]> {
	const columns = new Columns(person);
	const id = columns.id([columns.require('person_id')]);
	await readableTable(person.files, () =>
		database.run(
			`CREATE TABLE births AS SELECT id AS subject_id, min(birth) AS birth, count(*) AS copies FROM (
				SELECT ${id} AS id, ${birthSql(columns)} AS birth FROM (${person.sql})) WHERE id IS NOT NULL GROUP BY id`,
		),
	);
	await checkIds(database, person);
	await createDeaths(database, death);
	await drawSplits(database, seed, signal);
	await database.run(
		`CREATE TABLE persons AS SELECT b.subject_id, ${inRange('b.birth')} AS birth, ${inRange('d.death')} AS death,
			(w.split::INTEGER * ${shardsPerSplit} +
				(row_number() OVER (PARTITION BY w.split ORDER BY b.subject_id) - 1) // ${personsPerFile})::INTEGER AS shard
		FROM births b JOIN draws w USING (subject_id) LEFT JOIN deaths d USING (subject_id)`,
	);
	await database.run('DROP TABLE births; DROP TABLE deaths; DROP TABLE draws');
	const shards = await database.rows('SELECT DISTINCT shard FROM persons ORDER BY shard');
	return shards.map(({ shard }) => ({
		id: Number(shard),
		split: splits[Math.floor(Number(shard) / shardsPerSplit)]!,
		index: Number(shard) % shardsPerSplit,
	}));
}

/** SQL: the split of a row of `persons`. */
export const splitOfShard = `CASE shard // ${shardsPerSplit} ${splits.map((name, i) => `WHEN ${i} THEN '${name}'`).join(' ')} END`;

/** Subjects by split, and those that the written files do not have. */
export async function countPersons(database: Database, files: readonly string[]) {
	const rows = await database.rows(`SELECT ${splitOfShard} AS split, count(*)::DOUBLE AS n FROM persons GROUP BY ALL`);
	const count = (name: Split) => Number(rows.find(({ split }) => split === name)?.n ?? 0);
	const [row] = await database.rows(
		`SELECT count(*)::DOUBLE AS n FROM persons ANTI JOIN (
			SELECT DISTINCT subject_id FROM ${parquetFiles(files)}) USING (subject_id)`,
	);
	return {
		persons: rows.reduce((sum, { n }) => sum + Number(n), 0),
		personsWithoutEvents: Number(row?.n),
		splits: { train: count('train'), tuning: count('tuning'), held_out: count('held_out') },
	};
}

function inRange(time: string): string {
	return `CASE WHEN ${time} BETWEEN ${earliestTime} AND ${latestTime} THEN ${time} END`;
}

async function checkIds(database: Database, person: SourceTable): Promise<void> {
	const [row] = await database.rows(
		`SELECT count(*)::DOUBLE AS persons, (count(*) FILTER (copies > 1))::DOUBLE AS repeated,
		min(subject_id) FILTER (copies > 1) AS first FROM births`,
	);
	const file = person.files.table.toUpperCase();
	if (Number(row?.persons) === 0) {
		throw new DataError('omop', {
			file,
			column: 'person_id',
			rule: 'must hold at least one 64-bit integer',
			value: 'none',
			fix: 'number the persons when the ids are text',
		});
	}
	if (Number(row?.repeated) > 0) {
		throw new DataError('omop', {
			file,
			column: 'person_id',
			rule: 'must be unique',
			value: `${Number(row?.repeated)} repeated, first ${row?.first}`,
			fix: 'remove the copies: nobody can tell which birth and sex are right',
		});
	}
}

async function createDeaths(database: Database, death: SourceTable | undefined): Promise<void> {
	if (death === undefined) {
		await database.run('CREATE TABLE deaths (subject_id BIGINT, death TIMESTAMP)');
		return;
	}
	const columns = new Columns(death);
	const time = columns.moment({ datetime: ['death_datetime'], date: ['death_date'] });
	await readableTable(death.files, () =>
		database.run(
			`CREATE TABLE deaths AS SELECT ${columns.id([columns.require('person_id')])} AS subject_id, min(${time}) AS death
			FROM (${death.sql}) GROUP BY ALL`,
		),
	);
}

/** Draws in TypeScript: it is the generator by which every split of this package is drawn. */
async function drawSplits(database: Database, seed: number, signal: AbortSignal | undefined): Promise<void> {
	const pages: BigInt64Array[] = [];
	for await (const chunk of database.stream('SELECT subject_id FROM births ORDER BY subject_id', signal)) {
		const ids = chunk.getColumnVector(0) as DuckDBBigIntVector;
		pages.push(BigInt64Array.from({ length: chunk.rowCount }, (_, row) => ids.getItem(row)!));
	}
	const writer = await TableWriter.create(database, 'draws', [
		['subject_id', BigInt64Array],
		['split', Uint8Array],
	]);
	for (const ids of pages) {
		const drawn = Uint8Array.from(ids, (id) => splits.indexOf(drawSplit(id, seed)));
		writer.append([ids, drawn], 0, ids.length);
		await setImmediate();
	}
	await writer.finish();
}
