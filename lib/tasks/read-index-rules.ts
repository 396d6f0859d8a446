import { join } from 'node:path';
import type { DuckDBBigIntVector, DuckDBIntegerVector, DuckDBVarCharVector } from '@duckdb/node-api';
import { requireColumns } from '../data/parquet-columns.js';
import { queryFile } from '../data/query.js';
import { parquetFiles } from '../files/duckdb-files.js';
import { exists } from '../files/exists.js';
import { sampleKey } from './read.js';

/** Which rule gave an index date, and the days since the rule's anchor; null for a rule without one. */
export interface IndexOrigin {
	readonly rule: string;
	readonly daysSinceAnchor: number | null;
}

/**
 * Where the index dates of a task folder came from, by sample; several for one that several rules give. Empty for a folder
 * of before there were rules.
 *
 * @throws {DataError}
 */
export async function readIndexRules(directory: string): Promise<ReadonlyMap<string, readonly IndexOrigin[]>> {
	const file = join(directory, 'index_rules.parquet');
	const origins = new Map<string, IndexOrigin[]>();
	if (!(await exists(file))) return origins;
	return queryFile('tasks', file, {}, async (database) => {
		await requireColumns(database, 'tasks', file, {
			subject_id: 'a whole number',
			prediction_time: 'a timestamp',
			rule: 'a text',
			days_since_anchor: 'a whole number',
		});
		for await (const chunk of database.stream(
			`SELECT subject_id::BIGINT, epoch_us(prediction_time), rule::VARCHAR, days_since_anchor::INTEGER FROM ${parquetFiles(file)}
			WHERE subject_id IS NOT NULL AND isfinite(prediction_time) AND rule IS NOT NULL`,
		)) {
			const [subjects, times] = [0, 1].map((c) => chunk.getColumnVector(c) as DuckDBBigIntVector);
			const rules = chunk.getColumnVector(2) as DuckDBVarCharVector;
			const days = chunk.getColumnVector(3) as DuckDBIntegerVector;
			for (let row = 0; row < chunk.rowCount; row++) {
				const key = sampleKey({ subjectId: subjects!.getItem(row)!, predictionTime: times!.getItem(row)! });
				const origin = { rule: rules.getItem(row)!, daysSinceAnchor: days.getItem(row) };
				const known = origins.get(key);
				if (known === undefined) origins.set(key, [origin]);
				else known.push(origin);
			}
		}
		return origins;
	});
}
