import { withDatabase } from '../data/query.js';
import { copyToParquet } from '../files/duckdb-files.js';
import type { LabelRow } from '../tasks/read.js';
import { decisionThreshold } from './meds-evaluation.js';

/**
 * Writes predictions as meds-evaluation reads them: subject_id, prediction_time, boolean_value, predicted_boolean_value and
 * predicted_boolean_probability (float32), and no other column.
 *
 * @param path - A temporary name: the caller makes the file whole.
 */
export async function writePredictions(
	path: string,
	labels: readonly LabelRow[],
	probabilities: Float64Array,
): Promise<void> {
	await withDatabase({ threads: 1 }, async (database) => {
		await database.run('CREATE TABLE p (subject_id BIGINT, t BIGINT, value BOOLEAN, probability FLOAT)');
		const appender = await database.connection.createAppender('p');
		for (const [row, { subjectId, predictionTime, value }] of labels.entries()) {
			appender.appendBigInt(subjectId);
			appender.appendBigInt(predictionTime);
			appender.appendBoolean(value);
			appender.appendFloat(probabilities[row]!);
			appender.endRow();
		}
		appender.closeSync();
		await database.run(
			copyToParquet(
				`SELECT subject_id, make_timestamp(t) AS prediction_time, value AS boolean_value,
					probability > ${decisionThreshold} AS predicted_boolean_value, probability AS predicted_boolean_probability
				FROM p ORDER BY subject_id, t`,
				path,
			),
		);
	});
}
