import type { DuckDBIntegerVector } from '@duckdb/node-api';
import { floorDaysSql } from '../data/day-sql.js';
import type { LifeCodes } from '../data/life-codes.js';
import { eventsSql, type MedsDataset } from '../data/meds.js';
import { type Database, quoted, withDatabase } from '../data/query.js';
import type { IndexDateRow } from '../tasks/read.js';
import { birthdaysUntil } from '../text/calendar.js';
import type { Microseconds } from '../types.js';

/** Codes in a baseline: those that at least this many training patients have. */
export const minPatients = 5;

/** What baselines are made from. */
export interface BaselineInput {
	readonly dataset: MedsDataset;
	readonly indexDates: readonly IndexDateRow[];
	readonly lifeCodes: LifeCodes;
	/** Codes whose events are not to be seen. */
	readonly hiddenCodes?: readonly string[] | undefined;
	/** (index dates,) only events from then on are seen, beside static ones; undefined where none is. Absent: the whole record. */
	readonly since?: readonly (Microseconds | undefined)[] | undefined;
	readonly signal?: AbortSignal | undefined;
}

/**
 * Runs `work` on the tables that baselines are made of: `events` (subject_id, time in microseconds, code, value), `index_dates` (i,
 * subject_id, t and since in microseconds), and `train` (subject_id).
 */
export async function withBaselineTables<T>(
	{ dataset, indexDates, hiddenCodes = [], since }: BaselineInput,
	work: (database: Database) => Promise<T>,
): Promise<T> {
	return withDatabase({}, async (database) => {
		const seen = hiddenCodes.length === 0 ? '' : `WHERE code NOT IN (${hiddenCodes.map(quoted).join(', ')})`;
		await database.run(
			`CREATE TABLE events AS SELECT subject_id, time, code, value FROM (${eventsSql(dataset)}) ${seen}`,
		);
		await database.run('CREATE TABLE index_dates (i INTEGER, subject_id BIGINT, t BIGINT, since BIGINT)');
		const appender = await database.connection.createAppender('index_dates');
		for (const [i, { subjectId, predictionTime }] of indexDates.entries()) {
			appender.appendInteger(i);
			appender.appendBigInt(subjectId);
			appender.appendBigInt(predictionTime);
			appender.appendBigInt(since === undefined ? earliest : (since[i] ?? predictionTime + 1n));
			appender.endRow();
		}
		appender.closeSync();
		await database.run('CREATE TABLE train (subject_id BIGINT)');
		const trainAppender = await database.connection.createAppender('train');
		for (const subjectId of dataset.subjects.train) {
			trainAppender.appendBigInt(subjectId);
			trainAppender.endRow();
		}
		trainAppender.closeSync();
		return work(database);
	});
}

// Before every event.
const earliest = -(2n ** 63n) + 1n;

/** The age at an index date. */
export interface Age {
	readonly years: number;
	/** Birthdays that have come. */
	readonly completedYears: number;
}

/** Tells the age at each index date whose subject has a birth. Needs the tables events and index_dates. */
export async function eachAge(
	database: Database,
	lifeCodes: LifeCodes,
	visit: (row: number, age: Age) => void,
	signal?: AbortSignal,
): Promise<void> {
	const ages = `SELECT i.i, (${floorDaysSql('i.t - min(b.time)')})::INTEGER, (${floorDaysSql('min(b.time)')})::INTEGER, (${floorDaysSql('i.t')})::INTEGER
			FROM index_dates i JOIN (SELECT subject_id, time FROM events WHERE time IS NOT NULL AND ${lifeCodes.birthSql()}) b USING (subject_id)
			GROUP BY i.i, i.t`;
	for await (const chunk of database.stream(ages, signal)) {
		const [rows, days, births, dates] = [0, 1, 2, 3].map((column) => chunk.getColumnVector(column));
		const number = (of: typeof rows, row: number) => (of as DuckDBIntegerVector).getItem(row)!;
		for (let row = 0; row < chunk.rowCount; row++) {
			const completedYears = birthdaysUntil(number(births, row), number(dates, row));
			visit(number(rows, row), { years: number(days, row) / 365.25, completedYears });
		}
	}
}

/** SQL of codes that say nothing about the history: births, deaths and what MEDS itself adds. */
export function lifeEventsSql(lifeCodes: LifeCodes): string {
	return `(starts_with(code, 'MEDS_') OR ${lifeCodes.birthSql()} OR ${lifeCodes.deathSql()})`;
}
