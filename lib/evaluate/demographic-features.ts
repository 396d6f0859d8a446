import type { DuckDBIntegerVector } from '@duckdb/node-api';
import { type BaselineInput, eachAge, withBaselineTables } from './baseline-tables.js';
import type { EvaluatedModel } from './evaluation-file.js';
import type { FeatureTable } from './features.js';
import { sexCodeSql } from './subgroups.js';

export const demographicsModel: EvaluatedModel = {
	name: 'demographics',
	label: 'Age and sex',
	kind: 'counts',
	description: 'age and, where it is coded, sex; logistic or ridge regression',
};

/** The floor: age in years (0 without a birth) and, for each code of sex that training patients have, whether it is known. */
export async function demographicFeatures(input: BaselineInput): Promise<FeatureTable> {
	const { indexDates, lifeCodes, signal } = input;
	return withBaselineTables(input, async (database) => {
		await database.run(
			`CREATE TABLE sexes AS SELECT code, (row_number() OVER (ORDER BY code))::INTEGER AS c FROM (
				SELECT DISTINCT code FROM events JOIN train USING (subject_id) WHERE ${sexCodeSql})`,
		);
		const [size] = await database.rows('SELECT count(*)::INTEGER AS n FROM sexes');
		const columns = 1 + Number(size?.n ?? 0);
		const values = new Float32Array(indexDates.length * columns);
		await eachAge(
			database,
			lifeCodes,
			(row, { years }) => {
				values[row * columns] = years;
			},
			signal,
		);
		const known = `SELECT DISTINCT i.i, s.c FROM index_dates i JOIN events e ON e.subject_id = i.subject_id
			AND (e.time IS NULL OR e.time <= i.t) JOIN sexes s USING (code)`;
		for await (const chunk of database.stream(known, signal)) {
			const [rows, cells] = [0, 1].map((c) => chunk.getColumnVector(c) as DuckDBIntegerVector);
			for (let row = 0; row < chunk.rowCount; row++) values[rows!.getItem(row)! * columns + cells!.getItem(row)!] = 1;
		}
		return { values, rows: indexDates.length, columns, samples: indexDates };
	});
}
