import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { parseConfig } from '../config.js';
import { AbortedError, DataError } from '../errors.js';
import type { FeatureTable } from '../evaluate/features.js';
import { HeldOutLosses } from '../evaluate/held-out-losses.js';
import { LatentReading, ModelReader, TaskReading } from '../evaluate/reading.js';
import type { EvaluationSamples } from '../evaluate/samples.js';
import { writeWhole } from '../files/whole.js';

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

/** @throws {DataError} {ConfigError} */
export async function readReading(file: string): Promise<StudyReading> {
	return parseConfig(`study ${file}`, StudyReading, await readJson(file));
}

/** @throws {DataError} {ConfigError} */
export async function readHeldOutLosses(file: string): Promise<HeldOutLosses> {
	return parseConfig(`study ${file}`, HeldOutLosses, await readJson(file));
}

/** @throws {DataError} When the file cannot be read or is not JSON. */
export async function readJson(file: string): Promise<unknown> {
	try {
		return JSON.parse(await readFile(file, 'utf8'));
	} catch (cause) {
		throw new DataError(
			'study',
			{ file, rule: 'must be JSON', value: (cause as Error).message, fix: 'remove it, and it is made again' },
			{ cause },
		);
	}
}
