import { availableParallelism } from 'node:os';
import { z } from 'zod';
import { nonNegativeInteger, parseConfig, positiveInteger, seed } from '../config.js';
import { writeMedsMetadata } from '../data/meds-writer.js';
import { requirePath } from '../files/path.js';
import { writeWholeFolder } from '../files/whole.js';
import { packageVersion } from '../package-version.js';
import { type LongOperation, type Split, splits } from '../types.js';
import { cohortCodes } from './codes.js';
import type { ShardSummary } from './shard.js';
import { simulateShards } from './simulate-shards.js';

export const SimulateOptions = z
	.strictObject({
		patients: positiveInteger.default(2000),
		seed: seed.default(7),
		/** Shortest and longest time a patient is followed, years; death may end it earlier. */
		minYears: z.number().positive().default(3),
		maxYears: z.number().positive().max(20).default(8),
		/** Patients, from the first on, whose true state of every day is written: about 33 kB each. Absent: all. */
		latentPatients: nonNegativeInteger.default(Number.MAX_SAFE_INTEGER),
		/** Worker threads; the files are the same for any number. Absent: one per core. */
		threads: positiveInteger.max(256).default(availableParallelism),
	})
	.refine((options) => options.minYears <= options.maxYears, {
		path: ['minYears'],
		message: 'must not exceed maxYears',
	});
export type SimulateOptions = z.input<typeof SimulateOptions>;

export interface SimulationSummary {
	readonly patients: number;
	readonly events: number;
	readonly deaths: number;
	readonly patientDays: number;
	readonly splits: Readonly<Record<Split, number>>;
}

/** Name of the data set in `metadata/dataset.json`; evaluation looks for latents/ only in such a data set. */
export const cohortName = 'ehr-jepa simulated cohort';

/**
 * Simulates a cohort whose latent state is known, and writes it as MEDS 0.4 plus `latents/` (subject_id, day, one column per
 * disease axis: the true severity at the end of the day). Memory does not grow with the cohort. Equations:
 * docs/simulated-cohort.md.
 *
 * @param out - New or empty folder; appears whole or not at all.
 * @throws {ConfigError} {OutputError} {AbortedError}
 */
export async function simulateCohort(
	out: string,
	options: SimulateOptions = {},
	{ signal, onProgress }: LongOperation = {},
): Promise<SimulationSummary> {
	requirePath('simulate', 'out', out);
	const { patients, seed, minYears, maxYears, latentPatients, threads } = parseConfig(
		'simulate',
		SimulateOptions,
		options,
	);
	return writeWholeFolder(out, async (folder) => {
		let done = 0;
		const shards = await simulateShards(
			{ folder, seed, patients, years: [minYears, maxYears], latentPatients: Math.min(latentPatients, patients) },
			threads,
			(count) => {
				done += count;
				onProgress?.({ stage: 'simulate', done, total: patients, unit: 'patients' });
			},
			signal,
		);
		await writeMedsMetadata(
			folder,
			{
				dataset_name: cohortName,
				dataset_version: `seed ${seed}, ${patients} patients`,
				etl_name: 'ehr-jepa simulate',
				etl_version: packageVersion,
				// A constant, so that the same seed gives the same bytes.
				created_at: '2026-01-01T00:00:00+00:00',
			},
			cohortCodes.filter((_, code) => shards.some(({ usedCodes }) => usedCodes[code] === 1)),
			subjectsOf(shards),
		);
		return summaryOf(patients, shards);
	});
}

function* subjectsOf(shards: readonly ShardSummary[]) {
	let first = 1;
	for (const { splitOf } of shards) {
		yield { subjectIds: BigInt64Array.from(splitOf, (_, i) => BigInt(first + i)), splitOf };
		first += splitOf.length;
	}
}

function summaryOf(patients: number, shards: readonly ShardSummary[]): SimulationSummary {
	const counts = new Int32Array(splits.length);
	const sums = { events: 0, deaths: 0, patientDays: 0 };
	for (const { splitOf, events, deaths, patientDays } of shards) {
		for (const split of splitOf) counts[split]!++;
		sums.events += events;
		sums.deaths += deaths;
		sums.patientDays += patientDays;
	}
	const [train, tuning, heldOut] = counts as unknown as [number, number, number];
	return { patients, ...sums, splits: { train, tuning, held_out: heldOut } };
}
