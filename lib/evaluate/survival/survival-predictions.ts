import type { SurvivalLabelRow } from '../../tasks/survival-labels.js';
import { writeHeldOut, writePredictionColumns } from '../predictions-file.js';
import type { Read } from '../results.js';
import { type Baseline, riskWithin, type SurvivalReading } from './survival-probe.js';
import type { SurvivalSamples } from './survival-samples.js';

/**
 * Writes risks of samples: subject_id, prediction_time, boolean_value (the event was seen), float_value (days to it or to the end of
 * follow-up), risk_score (higher is a higher risk) and for each horizon risk_<n>d, the probability of the event by then.
 *
 * @param scores - (labels,)
 * @param path - A temporary name: the caller makes the file whole.
 */
export async function writeSurvivalPredictions(
	path: string,
	labels: readonly SurvivalLabelRow[],
	scores: Float64Array,
	baseline: Baseline,
	horizonsDays: readonly number[],
): Promise<void> {
	await writePredictionColumns(path, labels, [
		{ name: 'boolean_value', type: 'BOOLEAN', value: (row) => labels[row]!.event },
		{ name: 'float_value', type: 'FLOAT', value: (row) => labels[row]!.days },
		{ name: 'risk_score', type: 'FLOAT', value: (row) => scores[row]! },
		...horizonsDays.map((horizon) => ({
			name: `risk_${horizon}d`,
			type: 'FLOAT' as const,
			value: (row: number) => riskWithin(baseline, horizon, scores[row]!),
		})),
	]);
}

/**
 * Writes the risks that every model gives the held-out samples of a task: `<model>/<task>/time-to-event/held_out.parquet`; no file
 * for a model without a probe.
 */
export async function writeTimeToEventPredictions(
	folder: string,
	{ task, labels }: SurvivalSamples,
	models: readonly Read<SurvivalReading>[],
): Promise<void> {
	await writeHeldOut(folder, task.directory, models, (path, { scores, baseline }) =>
		writeSurvivalPredictions(path, labels.held_out, scores, baseline, task.horizonsDays),
	);
}
