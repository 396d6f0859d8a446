import { withDatabase } from '../data/query.js';
import { ConfigError } from '../errors.js';
import { copyToParquet } from '../files/duckdb-files.js';
import type { LabelRow } from '../tasks/read.js';
import type { EvaluatedModel } from './evaluation-file.js';
import { decisionThreshold } from './meds-evaluation.js';
import { writeHeldOut } from './predictions-file.js';
import type { TaskReading } from './reading.js';
import type { TaskSamples } from './samples.js';

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

/**
 * Writes what every model says of the held-out samples of a task: `<model>/<task>/<horizon>d/held_out.parquet`; no file for a
 * model without a probe.
 */
export async function writeTaskPredictions(
	folder: string,
	{ task, labels }: TaskSamples,
	models: readonly { readonly about: EvaluatedModel; readonly reading: TaskReading }[],
): Promise<void> {
	await writeHeldOut(folder, task.directory, models, (path, { probabilities }) =>
		writePredictions(path, labels.held_out, Float64Array.from(probabilities)),
	);
}

/** @throws {ConfigError} For a model's name that is no name of a folder. */
export function requireFolderName(name: string): void {
	if (!/[/\\\0]/.test(name) && !/^\.*$/.test(name)) return;
	throw new ConfigError(
		`[evaluate] a model's name must do for a folder when predictions are written but is ${JSON.stringify(name)}`,
	);
}
