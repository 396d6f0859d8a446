import { join } from 'node:path';
import { DataError } from '../errors.js';
import { hiddenNote } from '../files/visible-files.js';
import {
	type IndexDateRow,
	type LabelRow,
	readLabels,
	readTasks,
	sampleKey,
	type TaskList,
	type TaskListEntry,
} from '../tasks/read.js';
import type { IndexDate, LongOperation, Split } from '../types.js';
import { type LatentTargets, readLatents } from './latent-state.js';
import { tooFewPatients } from './probe.js';

/** Samples of one task and horizon. */
export interface TaskSamples {
	readonly task: TaskListEntry;
	readonly labels: Readonly<Record<Split, readonly LabelRow[]>>;
	/** Why the held-out samples cannot carry a metric. */
	readonly tooFew: string | undefined;
}

/** What models are read on: the same samples for each, so that differences are paired. */
export interface EvaluationSamples {
	readonly taskList: TaskList;
	readonly indexDates: readonly IndexDateRow[];
	readonly tasks: readonly TaskSamples[];
	/** True latent states now and ahead; empty unless the cohort is simulated. */
	readonly latents: readonly LatentTargets[];
}

/**
 * Reads a task folder: labels by the split of their index date.
 *
 * @param latents - Folder of the true states of a simulated cohort.
 * @param onWarning - Is told of hidden files.
 * @throws {DataError} {ConfigError}
 */
export async function readSamples(
	tasks: string,
	latents?: string,
	onWarning?: LongOperation['onWarning'],
): Promise<EvaluationSamples> {
	const hidden: string[] = [];
	const { list: taskList, indexDates } = await readTasks(tasks);
	const read: TaskSamples[] = [];
	for (const task of taskList.tasks) {
		const file = join(tasks, task.directory);
		const labels = labelsBySplit(file, await readLabels(file, hidden), indexDates);
		read.push({ task, labels, tooFew: tooFewPatients(labels.held_out) });
	}
	const states = latents === undefined ? [] : await readLatents(latents, indexDates, hidden);
	const note = hiddenNote(hidden);
	if (note !== undefined) onWarning?.(note);
	return { taskList, indexDates, tasks: read, latents: states };
}

/** Labels of a folder, each in the split of its index date. @throws {DataError} For a label of no index date. */
export function labelsBySplit<Label extends IndexDate>(
	folder: string,
	rows: readonly Label[],
	indexDates: readonly IndexDateRow[],
): Record<Split, Label[]> {
	const splitOf = new Map(indexDates.map((row) => [sampleKey(row), row.split]));
	const labels: Record<Split, Label[]> = { train: [], tuning: [], held_out: [] };
	for (const label of rows) {
		const split = splitOf.get(sampleKey(label));
		if (split === undefined) {
			throw new DataError('evaluate', {
				file: folder,
				rule: 'must label index dates of index_dates.parquet',
				value: `subject ${label.subjectId} at ${label.predictionTime} microseconds, which is none`,
				fix: 'build the tasks again, with ready labels as --labels',
			});
		}
		labels[split].push(label);
	}
	return labels;
}

/** Rows of samples in a table, by its positions of keys. */
export function rowsOf(rowOf: ReadonlyMap<string, number>, samples: readonly IndexDate[]): number[] {
	return samples.map((sample) => rowOf.get(sampleKey(sample))!);
}

/** The labels of samples that every model has features for. */
export function commonLabels<Label extends IndexDate>(
	labels: Readonly<Record<Split, readonly Label[]>>,
	models: readonly ReadonlyMap<string, unknown>[],
): Record<Split, Label[]> {
	const kept = (split: Split) => labels[split].filter((label) => models.every((rowOf) => rowOf.has(sampleKey(label))));
	return { train: kept('train'), tuning: kept('tuning'), held_out: kept('held_out') };
}

/** The samples that every model has features for. */
export function commonSamples(
	samples: EvaluationSamples,
	models: readonly ReadonlyMap<string, unknown>[],
): EvaluationSamples {
	const isCommon = (key: string) => models.every((rowOf) => rowOf.has(key));
	return {
		...samples,
		tasks: samples.tasks.map(({ task, labels }) => {
			const common = commonLabels(labels, models);
			return { task, labels: common, tooFew: tooFewPatients(common.held_out) };
		}),
		latents: samples.latents.map((targets) => ({
			...targets,
			samples: targets.samples.filter(({ sample }) => isCommon(sampleKey(sample))),
		})),
	};
}

/** The outcomes of samples in numbers, with the patient of each. */
export interface Outcomes {
	readonly truth: Uint8Array;
	readonly patients: readonly bigint[];
	readonly nSamples: number;
	readonly nPatients: number;
	readonly nPositives: number;
}

export function outcomesOf(labels: readonly LabelRow[]): Outcomes {
	const truth = Uint8Array.from(labels, ({ value }) => (value ? 1 : 0));
	const patients = labels.map(({ subjectId }) => subjectId);
	return {
		truth,
		patients,
		nSamples: truth.length,
		nPatients: new Set(patients).size,
		nPositives: truth.reduce((sum, label) => sum + label, 0),
	};
}

/** True states of held-out samples, (samples x axes) row-major, with the patient of each. */
export function heldOutStates({ samples }: LatentTargets): {
	readonly truth: Float32Array;
	readonly patients: readonly bigint[];
	readonly nSamples: number;
	readonly nPatients: number;
} {
	const heldOut = samples.filter(({ sample }) => sample.split === 'held_out');
	const patients = heldOut.map(({ sample }) => sample.subjectId);
	return {
		truth: Float32Array.from(heldOut.flatMap(({ state }) => [...state])),
		patients,
		nSamples: heldOut.length,
		nPatients: new Set(patients).size,
	};
}
