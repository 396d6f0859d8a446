import { z } from 'zod';
import { LifeCodes } from '../../data/life-codes.js';
import type { MedsDataset } from '../../data/meds.js';
import { AbortedError } from '../../errors.js';
import { baselines, boostedBaseline } from '../../evaluate/baselines.js';
import { readEmbeddings } from '../../evaluate/embeddings.js';
import type { FeatureTable } from '../../evaluate/features.js';
import { ModelReader, type Reader, TaskReading } from '../../evaluate/reading.js';
import { commonSamples, type EvaluationSamples } from '../../evaluate/samples.js';
import { readJsonAs } from '../../files/json.js';
import { writeWhole } from '../../files/whole.js';
import { sampleKey } from '../../tasks/read.js';
import { readingName, type StudyModel } from '../options.js';
import { madeAgain } from '../readings.js';
import type { StudyFolder } from '../study-folder.js';
import type { ParsedCrossValidationOptions } from './options.js';

/** What every model says of the held-out samples of one fold. */
const FoldReadings = z.strictObject({
	format: z.literal('ehr-jepa/fold-readings'),
	version: z.literal(1),
	tasks: z.array(
		z.strictObject({
			name: z.string(),
			horizonDays: z.number().nullable(),
			/** Labels of any split that a model has no features for. */
			withoutState: z.int(),
			/** (held-out samples,) subject and time, as they stand in a key. */
			samples: z.array(z.string()),
			/** (held-out samples,) */
			truth: z.array(z.union([z.literal(0), z.literal(1)])),
			models: z.record(z.string(), TaskReading),
		}),
	),
});
export type FoldReadings = z.infer<typeof FoldReadings>;

/** @throws {DataError} {ConfigError} */
export async function readFoldReadings(file: string): Promise<FoldReadings> {
	return readJsonAs(file, FoldReadings, madeAgain);
}

/**
 * Fits the probes of every model of a fold on the samples that all have features for, and writes what they say.
 *
 * @throws {AbortedError} {DataError} {NativeError} {OutputError}
 */
export async function writeFoldReadings(
	file: string,
	files: StudyFolder,
	config: ParsedCrossValidationOptions,
	repeat: number,
	models: readonly StudyModel[],
	dataset: MedsDataset,
	all: EvaluationSamples,
	signal: AbortSignal | undefined,
): Promise<void> {
	const readers = await readersOf(files, config, repeat, models, dataset, all, signal);
	const samples = commonSamples(
		all,
		[...readers.values()].map((reader) => reader.samples),
	);
	const tasks: FoldReadings['tasks'] = [];
	for (const [i, { task, labels }] of samples.tasks.entries()) {
		const read: Record<string, TaskReading> = {};
		for (const [name, reader] of readers) {
			if (signal?.aborted) throw new AbortedError('[cross-validate] aborted', { cause: signal.reason });
			// A fold has few patients; whether all of them are enough is asked of all folds together.
			read[name] = await reader.task({ task, labels, tooFew: undefined });
		}
		const count = (of: EvaluationSamples['tasks'][number]['labels']) =>
			of.train.length + of.tuning.length + of.held_out.length;
		tasks.push({
			name: task.name,
			horizonDays: task.horizonDays,
			withoutState: count(all.tasks[i]!.labels) - count(labels),
			samples: labels.held_out.map(sampleKey),
			truth: labels.held_out.map(({ value }) => (value ? 1 : 0)),
			models: read,
		});
	}
	const readings: FoldReadings = { format: 'ehr-jepa/fold-readings', version: 1, tasks };
	await writeWhole(file, `${JSON.stringify(readings)}\n`);
}

async function readersOf(
	files: StudyFolder,
	config: ParsedCrossValidationOptions,
	repeat: number,
	models: readonly StudyModel[],
	dataset: MedsDataset,
	{ indexDates, taskList }: EvaluationSamples,
	signal: AbortSignal | undefined,
): Promise<Map<string, Reader>> {
	const readers = new Map<string, Reader>();
	for (const { name, kind } of models) {
		if (kind !== 'encoder' && kind !== 'untrained') continue;
		const table = await readEmbeddings(files.embeddings(repeat, name, readingName(config)));
		readers.set(name, new ModelReader(table));
	}
	const lifeCodes = new LifeCodes(taskList.lifeCodes);
	const tables = new Map<unknown, FeatureTable>();
	for (const { about, features, reader } of [...baselines, boostedBaseline]) {
		const input = { dataset, indexDates, lifeCodes, hiddenCodes: taskList.hiddenCodes, signal };
		const table = tables.get(features) ?? (await features(input));
		tables.set(features, table);
		readers.set(about.name, reader === undefined ? new ModelReader(table) : reader(table));
	}
	return readers;
}
