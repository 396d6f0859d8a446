import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { BIGINT, type DuckDBAppender, DuckDBDataChunk, FLOAT, INTEGER } from '@duckdb/node-api';
import { z } from 'zod';
import { parseConfig, positiveInteger, seed } from '../config.js';
import { MedsWriter } from '../data/meds-writer.js';
import { Database, fillColumn, quoted } from '../data/query.js';
import { writeWholeFolder } from '../data/whole-file.js';
import { packageVersion } from '../package-version.js';
import type { LongOperation, Split } from '../types.js';
import { cohortCodes } from './codes.js';
import { diseaseAxes } from './disease-axes.js';
import type { LatentColumns } from './simulated-chunk.js';
import { simulateChunks } from './simulation-pool.js';

export const SimulateOptions = z
	.strictObject({
		patients: positiveInteger.default(2000),
		seed: seed.default(7),
		/** Shortest and longest time a patient is followed, years; death may end it earlier. */
		minYears: z.number().positive().default(3),
		maxYears: z.number().positive().max(20).default(8),
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

/** Name of the data set in `metadata/dataset.json`; evaluation looks for latents.parquet only in such a data set. */
export const cohortName = 'ehr-jepa simulated cohort';

// Rows of one data chunk of DuckDB.
const chunkRows = 2048;

/**
 * Simulates a cohort whose latent state is known, and writes it as MEDS 0.4 plus `latents.parquet` (subject_id, day,
 * one column per disease axis: the true severity at the end of the day). Equations: docs/simulated-cohort.md.
 *
 * @param out - New or empty folder; appears whole or not at all.
 * @throws {ConfigError} {OutputError} {AbortedError}
 */
export async function simulateCohort(
	out: string,
	options: SimulateOptions = {},
	operation: LongOperation = {},
): Promise<SimulationSummary> {
	const config = parseConfig('simulate', SimulateOptions, options);
	return writeWholeFolder(out, async (folder) => {
		const writer = await MedsWriter.create(folder, cohortCodes);
		const latents = await LatentWriter.create();
		let finished = false;
		try {
			const summary = await simulateAll(config, writer, latents, operation);
			await writer.finish({
				dataset_name: cohortName,
				dataset_version: `seed ${config.seed}, ${config.patients} patients`,
				etl_name: 'ehr-jepa simulate',
				etl_version: packageVersion,
				// A constant, so that the same seed gives the same bytes.
				created_at: '2026-01-01T00:00:00+00:00',
			});
			finished = true;
			await latents.finish(join(folder, 'latents.parquet'));
			return summary;
		} finally {
			if (!finished) await writer.abandon();
			await latents.close();
		}
	});
}

async function simulateAll(
	config: z.output<typeof SimulateOptions>,
	writer: MedsWriter,
	latents: LatentWriter,
	operation: LongOperation,
): Promise<SimulationSummary> {
	const splits: Record<Split, number> = { train: 0, tuning: 0, held_out: 0 };
	const sums = { patients: 0, events: 0, deaths: 0, patientDays: 0 };
	for await (const chunk of simulateChunks(config, operation.signal)) {
		for (const { split, subjectIds, events } of chunk.splits) {
			await writer.append(split, events);
			await writer.assign(split, subjectIds);
			splits[split] += subjectIds.length;
			sums.patients += subjectIds.length;
			sums.events += events.times.length;
		}
		latents.append(chunk.latents);
		sums.deaths += chunk.deaths;
		sums.patientDays += chunk.latents.days.length;
		operation.onProgress?.({ stage: 'simulate', done: sums.patients, total: config.patients, unit: 'patients' });
		await setImmediate();
	}
	return { ...sums, splits };
}

/** Writes the true state of every patient and day. */
class LatentWriter {
	readonly #database: Database;
	readonly #appender: DuckDBAppender;
	#open = true;

	private constructor(database: Database, appender: DuckDBAppender) {
		this.#database = database;
		this.#appender = appender;
	}

	static async create(): Promise<LatentWriter> {
		const database = await Database.open({ threads: 1 });
		const columns = diseaseAxes.map((axis) => `${axis.name} FLOAT`).join(', ');
		await database.run(`CREATE TABLE latents (subject_id BIGINT, day INTEGER, ${columns})`);
		return new LatentWriter(database, await database.connection.createAppender('latents'));
	}

	append({ subjectIds, days, severity }: LatentColumns): void {
		const axes = diseaseAxes.length;
		for (let start = 0; start < days.length; start += chunkRows) {
			const count = Math.min(chunkRows, days.length - start);
			const chunk = DuckDBDataChunk.create([BIGINT, INTEGER, ...diseaseAxes.map(() => FLOAT)]);
			chunk.rowCount = count;
			fillColumn(chunk, 0, (row) => subjectIds[start + row]!);
			fillColumn(chunk, 1, (row) => days[start + row]!);
			for (let k = 0; k < axes; k++) fillColumn(chunk, 2 + k, (row) => severity[(start + row) * axes + k]!);
			this.#appender.appendDataChunk(chunk);
		}
	}

	async finish(file: string): Promise<void> {
		this.#appender.closeSync();
		await this.#database.run(
			`COPY (SELECT * FROM latents ORDER BY subject_id, day) TO ${quoted(file)} (FORMAT parquet, COMPRESSION zstd)`,
		);
	}

	async close(): Promise<void> {
		if (this.#open) await this.#database.close();
		this.#open = false;
	}
}
