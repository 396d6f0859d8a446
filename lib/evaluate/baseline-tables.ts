import type { LifeCodes } from '../data/life-codes.js';
import { eventsSql, type MedsDataset } from '../data/meds.js';
import { type Database, withDatabase } from '../data/query.js';
import type { IndexDateRow } from '../tasks/read.js';

/** Codes in a baseline: those that at least this many training patients have. */
export const minPatients = 5;

/**
 * Runs `work` on the tables that baselines are made of: `events` (subject_id, time in microseconds, code, value), `index_dates` (i,
 * subject_id, t in microseconds), and `train` (subject_id).
 */
export async function withBaselineTables<T>(
	dataset: MedsDataset,
	indexDates: readonly IndexDateRow[],
	work: (database: Database) => Promise<T>,
): Promise<T> {
	return withDatabase({}, async (database) => {
		await database.run(`CREATE TABLE events AS SELECT subject_id, time, code, value FROM (${eventsSql(dataset)})`);
		await database.run('CREATE TABLE index_dates (i INTEGER, subject_id BIGINT, t BIGINT)');
		const appender = await database.connection.createAppender('index_dates');
		for (const [i, { subjectId, predictionTime }] of indexDates.entries()) {
			appender.appendInteger(i);
			appender.appendBigInt(subjectId);
			appender.appendBigInt(predictionTime);
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

/** SQL of codes that say nothing about the history: births, deaths and what MEDS itself adds. */
export function lifeEventsSql(lifeCodes: LifeCodes): string {
	return `(starts_with(code, 'MEDS_') OR ${lifeCodes.birthSql()} OR ${lifeCodes.deathSql()})`;
}
