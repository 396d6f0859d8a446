import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { parseConfig } from '../config.js';
import { AbortedError, DataError } from '../errors.js';
import type { FeatureTable } from '../evaluate/features.js';
import { fitLatentProbe } from '../evaluate/latent-state.js';
import { fitProbe, rowsByKey } from '../evaluate/probe.js';
import { writeWhole } from '../files/whole.js';
import type { StudySamples } from './samples.js';

const undefinedReading = z.strictObject({ undefinedReason: z.string() });

/** What the probes of one model say of the held-out samples: a file, so that metrics are made without fitting again. */
export const Reading = z.strictObject({
	format: z.literal('ehr-jepa/study-reading'),
	version: z.literal(1),
	/** In the order of the study's tasks. */
	tasks: z.array(
		z.union([
			undefinedReading,
			z.strictObject({
				l2: z.number(),
				/** (held-out samples,) */
				probabilities: z.array(z.number()),
			}),
		]),
	),
	/** In the order of the study's latent horizons. */
	latents: z.array(
		z.union([
			undefinedReading,
			z.strictObject({
				l2: z.number(),
				/** (held-out samples x axes) */
				predicted: z.array(z.number()),
			}),
		]),
	),
});
export type Reading = z.infer<typeof Reading>;

/**
 * Fits every probe of a study on one model's states and writes what they say.
 *
 * @throws {DataError} When a sample has no state. {AbortedError} {NativeError} {OutputError}
 */
export async function writeReading(
	file: string,
	table: FeatureTable,
	samples: StudySamples,
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
	const rowOf = rowsByKey(table);
	const goOn = () => {
		if (signal?.aborted) throw new AbortedError('[study] aborted', { cause: signal.reason });
	};
	const tasks: Reading['tasks'] = [];
	for (const { labels, tooFew } of samples.tasks) {
		goOn();
		const probe = tooFew === undefined ? await fitProbe(table, rowOf, labels) : { undefinedReason: tooFew };
		tasks.push(
			'undefinedReason' in probe
				? { undefinedReason: probe.undefinedReason }
				: { l2: probe.l2, probabilities: [...probe.probabilities] },
		);
	}
	const latents: Reading['latents'] = [];
	for (const targets of samples.latents) {
		goOn();
		const probe = await fitLatentProbe(table, rowOf, targets);
		latents.push('undefinedReason' in probe ? probe : { l2: probe.l2, predicted: [...probe.predicted] });
	}
	const reading: Reading = { format: 'ehr-jepa/study-reading', version: 1, tasks, latents };
	await writeWhole(file, `${JSON.stringify(reading)}\n`);
}

/** @throws {DataError} {ConfigError} */
export async function readReading(file: string): Promise<Reading> {
	return parseConfig(`study ${file}`, Reading, await readJson(file));
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
