import { z } from 'zod';
import { AbortedError, DataError } from '../errors.js';
import type { FeatureTable } from '../evaluate/features.js';
import { HeldOutLosses } from '../evaluate/held-out-losses.js';
import { LatentReading, ModelReader, TaskReading } from '../evaluate/reading.js';
import type { EvaluationSamples } from '../evaluate/samples.js';
import type { SurvivalProbeKind } from '../evaluate/survival/survival-file.js';
import type { SurvivalSamples } from '../evaluate/survival/survival-samples.js';
import { type JsonFile, readJsonAs } from '../files/json.js';
import { writeWhole } from '../files/whole.js';

/** What is said of a damaged file of a study. */
export const madeAgain: JsonFile = { scope: 'study', fix: 'remove it, and it is made again' };

/** What a probe for the time to an event says of the held-out samples. */
const SurvivalScores = z.union([
	z.strictObject({ undefinedReason: z.string() }),
	z.strictObject({
		l2: z.number().nullable(),
		/** (held-out samples,) higher is a higher risk. */
		scores: z.array(z.number()),
	}),
]);

/** The reading of one model in a file, so that metrics are made without fitting again. */
export const StudyReading = z.strictObject({
	format: z.literal('ehr-jepa/study-reading'),
	version: z.literal(1),
	/** In the order of the study's tasks. */
	tasks: z.array(TaskReading),
	/** In the order of the study's times to events; files of before there were any have none. */
	survival: z.array(SurvivalScores).default([]),
	/** In the order of the study's latent horizons. */
	latents: z.array(LatentReading),
});
export type StudyReading = z.infer<typeof StudyReading>;

/** What the models of a study are read on. */
export interface StudySamples extends EvaluationSamples {
	readonly survival: readonly SurvivalSamples[];
	/** How times to events are read. */
	readonly probe: SurvivalProbeKind;
}

/**
 * Fits every probe of a study on one model's states and writes what they say.
 *
 * @throws {DataError} When a sample has no state. {AbortedError} {NativeError} {OutputError}
 */
export async function writeReading(
	file: string,
	table: FeatureTable,
	{ survival: times, probe, ...samples }: StudySamples,
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
	const check = () => {
		if (signal?.aborted) throw new AbortedError('[study] aborted', { cause: signal.reason });
	};
	const reader = new ModelReader(table);
	const { tasks, latents } = await reader.all(samples, check);
	const survival: StudyReading['survival'] = [];
	for (const one of times) {
		check();
		const read = await reader.survival(one, probe);
		survival.push(
			'scores' in read ? { l2: read.l2, scores: [...read.scores] } : { undefinedReason: read.undefinedReason },
		);
	}
	const reading: StudyReading = { format: 'ehr-jepa/study-reading', version: 1, tasks, survival, latents };
	await writeWhole(file, `${JSON.stringify(reading)}\n`);
}

/** Writes what can be known of the true state, which is a reading without tasks. @throws {OutputError} */
export async function writeLatentReadings(file: string, latents: readonly LatentReading[]): Promise<void> {
	const reading: StudyReading = {
		format: 'ehr-jepa/study-reading',
		version: 1,
		tasks: [],
		survival: [],
		latents: [...latents],
	};
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
