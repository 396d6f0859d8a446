import type { ClassLabelRow } from '../../tasks/class-labels.js';
import { writeHeldOut, writePredictionColumns } from '../predictions-file.js';
import type { Read } from '../results.js';
import { likeliest } from './class-metrics.js';
import type { ClassReading } from './class-probe.js';
import type { ClassSamples } from './class-samples.js';

/**
 * Writes what a probe says of samples: subject_id, prediction_time, label, predicted_class and for each class
 * probability_<class>.
 *
 * @param logs - (labels x classes) logarithms of probabilities.
 * @param path - A temporary name: the caller makes the file whole.
 */
export async function writeClassPredictions(
	path: string,
	labels: readonly ClassLabelRow[],
	classes: readonly string[],
	logs: Float64Array,
): Promise<void> {
	await writePredictionColumns(path, labels, [
		{ name: 'label', type: 'VARCHAR', value: (row) => labels[row]!.value },
		{ name: 'predicted_class', type: 'VARCHAR', value: (row) => classes[likeliest(logs, classes.length, row)]! },
		...classes.map((name, k) => ({
			name: `probability_${name}`,
			type: 'FLOAT' as const,
			value: (row: number) => Math.exp(logs[row * classes.length + k]!),
		})),
	]);
}

/** Writes what every model says of the held-out samples: `<model>/<task>/held_out.parquet`; no file for a model without a probe. */
export async function writeTaskClassPredictions(
	folder: string,
	{ task, labels, classes }: ClassSamples,
	models: readonly Read<ClassReading>[],
): Promise<void> {
	await writeHeldOut(folder, task.directory, models, (path, { logs }) =>
		writeClassPredictions(path, labels.held_out, classes, logs),
	);
}
