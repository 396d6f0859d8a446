import type { DuckDBIntegerVector } from '@duckdb/node-api';
import type { Database } from '../data/query.js';
import { microsecondsPerDay } from '../types.js';
import { type BaselineInput, eachAge, lifeEventsSql, minPatients, withBaselineTables } from './baseline-tables.js';
import type { EvaluatedModel } from './evaluation-file.js';
import type { FeatureTable } from './features.js';

/** The recent window of the second set of counts. */
const recentDays = 180n;

export const countsModel: EvaluatedModel = {
	name: 'counts',
	label: 'Code counts',
	kind: 'counts',
	description: 'log(1 + count) of each code, whole history and last 180 days, and age; logistic or ridge regression',
};

/**
 * The first baseline that a model must beat: log(1 + count) of each code over the whole history and over the last 180 days, and
 * age. Codes are chosen on the train split; a row holds nothing later than its prediction time.
 */
export async function countFeatures(input: BaselineInput): Promise<FeatureTable> {
	return withBaselineTables(input, (database) => countsOf(database, input));
}

/** The same from the tables of baselines. */
export async function countsOf(
	database: Database,
	{ indexDates, lifeCodes, signal }: BaselineInput,
): Promise<FeatureTable> {
	await database.run(
		`CREATE TABLE kept AS SELECT code, (row_number() OVER (ORDER BY code) - 1)::INTEGER AS c FROM (
				SELECT code FROM events JOIN train USING (subject_id) WHERE NOT ${lifeEventsSql(lifeCodes)}
				GROUP BY code HAVING count(DISTINCT subject_id) >= ${minPatients})`,
	);
	const [size] = await database.rows('SELECT count(*)::INTEGER AS n FROM kept');
	const codes = Number(size?.n ?? 0);
	const columns = 2 * codes + 1;
	const values = new Float32Array(indexDates.length * columns);
	const counts = `SELECT i.i, k.c, count(*)::INTEGER AS n, (count(*) FILTER (e.time > i.t - ${recentDays * microsecondsPerDay}))::INTEGER AS recent
			FROM index_dates i JOIN events e ON e.subject_id = i.subject_id AND (e.time IS NULL OR (e.time >= i.since AND e.time <= i.t))
			JOIN kept k ON k.code = e.code GROUP BY i.i, k.c`;
	for await (const chunk of database.stream(counts, signal)) {
		const [rows, cells, all, recent] = [0, 1, 2, 3].map((c) => chunk.getColumnVector(c) as DuckDBIntegerVector);
		for (let row = 0; row < chunk.rowCount; row++) {
			const base = rows!.getItem(row)! * columns + cells!.getItem(row)!;
			values[base] = Math.log1p(all!.getItem(row)!);
			values[base + codes] = Math.log1p(recent!.getItem(row)!);
		}
	}
	await eachAge(
		database,
		lifeCodes,
		(row, { years }) => {
			values[row * columns + columns - 1] = years;
		},
		signal,
	);
	return { values, rows: indexDates.length, columns, samples: indexDates };
}
