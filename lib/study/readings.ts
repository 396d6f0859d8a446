import { z } from 'zod';
import { AbortedError, DataError } from '../errors.js';
import type { FeatureTable } from '../evaluate/features.js';
import { HeldOutLosses } from '../evaluate/held-out-losses.js';
import { LatentReading, ModelReader, TaskReading } from '../evaluate/reading.js';
import type { EvaluationSamples } from '../evaluate/samples.js';
import { type JsonFile, readJsonAs } from '../files/json.js';
import { writeWhole } from '../files/whole.js';

/** What is said of a damaged file of a study. */
export const madeAgain: JsonFile = { scope: 'study', fix: 'remove it, and it is made again' };

/** The reading of one model in a file, so that metrics are made without fitting again. */
export const StudyReading = z.strictObject({
	format: z.literal('ehr-jepa/study-reading'),
	version: z.literal(1),
	/** In the order of the study's tasks. */
	tasks: z.array(TaskReading),
	/** In the order of the study's latent horizons. */
	latents: z.array(LatentReading),
});
export type StudyReading = z.infer<typeof StudyReading>;

/**
 * Fits every probe of a study on one model's states and writes what they say.
 *
 * @throws {DataError} When a sample has no state. {AbortedError} {NativeError} {OutputError}
 */
export async function writeReading(
	file: string,
	table: FeatureTable,
	samples: EvaluationSamples,
	signal?: AbortSignal,
): Promise<void> {
	if (table.rows !== samples.indexDates.length) {
		throw new DataError('study', {
			file,
			rule: `must be made from a state for each of ${samples.indexDates.length} index dates`,
			value: String(table.rows),
			fix: 'every index date of a simulated cohort has tokens: make the folder again',
		});
	}
	const { tasks, latents } = await new ModelReader(table).all(samples, () => {
		if (signal?.aborted) throw new AbortedError('[study] aborted', { cause: signal.reason });
	});
	const reading: StudyReading = { format: 'ehr-jepa/study-reading', version: 1, tasks, latents };
	await writeWhole(file, `${JSON.stringify(reading)}\n`);
}

/** Writes what can be known of the true state, which is a reading without tasks. @throws {OutputError} */
export async function writeLatentReadings(file: string, latents: readonly LatentReading[]): Promise<void> {
	const reading: StudyReading = { format: 'ehr-jepa/study-reading', version: 1, tasks: [], latents: [...latents] };
	await writeWhole(file, `${JSON.stringify(reading)}\n`);
}

/** @throws {DataError} {ConfigError} */
export async function readReading(file: string): Promise<StudyReading> {
	return readJsonAs(file, StudyReading, madeAgain);
}

/** @throws {DataError} {ConfigError} */
export async function readHeldOutLosses(file: string): Promise<HeldOutLosses> {
	return readJsonAs(file, HeldOutLosses, madeAgain);
}
