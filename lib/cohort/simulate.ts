import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { BIGINT, type DuckDBAppender, DuckDBDataChunk, FLOAT, INTEGER } from '@duckdb/node-api';
import { z } from 'zod';
import { parseConfig, positiveInteger, seed } from '../config.js';
import { type EventColumns, MedsWriter } from '../data/meds-writer.js';
import { Database, quoted } from '../data/query.js';
import { drawSplit } from '../data/splits.js';
import { writeWholeFolder } from '../data/whole-file.js';
import { AbortedError } from '../errors.js';
import { packageVersion } from '../package-version.js';
import type { LongOperation, Split } from '../types.js';
import { cohortCodes } from './codes.js';
import { diseaseAxes } from './disease-axes.js';
import { type SimulatedPatient, simulatePatient } from './record.js';

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

// Patients whose events are held in memory before they are handed to the writer.
const patientsPerChunk = 64;

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
	let events = 0;
	let deaths = 0;
	let patientDays = 0;
	for (let first = 0; first < config.patients; first += patientsPerChunk) {
		const chunk: Record<Split, [bigint, SimulatedPatient][]> = { train: [], tuning: [], held_out: [] };
		for (let index = first; index < Math.min(config.patients, first + patientsPerChunk); index++) {
			if (operation.signal?.aborted) throw new AbortedError('[simulate] aborted', { cause: operation.signal.reason });
			const patient = simulatePatient(config.seed, index, [config.minYears, config.maxYears]);
			const subjectId = BigInt(index + 1);
			const split = drawSplit(subjectId, config.seed);
			chunk[split].push([subjectId, patient]);
			splits[split]++;
			events += patient.times.length;
			deaths += patient.died ? 1 : 0;
			patientDays += patient.severity.length / diseaseAxes.length;
			await setImmediate();
		}
		for (const [split, patients] of Object.entries(chunk) as [Split, [bigint, SimulatedPatient][]][]) {
			if (patients.length === 0) continue;
			await writer.append(split, eventColumns(patients));
			await writer.assign(
				split,
				patients.map(([subjectId]) => subjectId),
			);
			for (const [subjectId, patient] of patients) latents.append(subjectId, patient);
		}
		const done = Math.min(config.patients, first + patientsPerChunk);
		operation.onProgress?.({ stage: 'simulate', done, total: config.patients, unit: 'patients' });
	}
	return { patients: config.patients, events, deaths, patientDays, splits };
}

function eventColumns(patients: readonly [bigint, SimulatedPatient][]): EventColumns {
	const count = patients.reduce((sum, [, patient]) => sum + patient.times.length, 0);
	const columns = {
		subjectIds: new BigInt64Array(count),
		times: new BigInt64Array(count),
		codes: new Int32Array(count),
		values: new Float32Array(count),
	};
	let row = 0;
	for (const [subjectId, patient] of patients) {
		// Hospital days reach into later visits; MEDS wants ascending time. The sort is stable.
		const order = [...patient.times.keys()].sort((a, b) =>
			patient.times[a]! < patient.times[b]! ? -1 : patient.times[a]! > patient.times[b]! ? 1 : a - b,
		);
		for (const i of order) {
			columns.subjectIds[row] = subjectId;
			columns.times[row] = patient.times[i]!;
			columns.codes[row] = patient.codes[i]!;
			columns.values[row++] = patient.values[i]!;
		}
	}
	return columns;
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

	append(subjectId: bigint, patient: SimulatedPatient): void {
		const axes = diseaseAxes.length;
		const days = patient.severity.length / axes;
		for (let start = 0; start < days; start += 2048) {
			const count = Math.min(2048, days - start);
			const chunk = DuckDBDataChunk.create([BIGINT, INTEGER, ...diseaseAxes.map(() => FLOAT)]);
			chunk.rowCount = count;
			chunk.setColumnValues(0, new Array(count).fill(subjectId));
			chunk.setColumnValues(
				1,
				Array.from({ length: count }, (_, i) => patient.firstDay + start + i),
			);
			for (let k = 0; k < axes; k++) {
				chunk.setColumnValues(
					2 + k,
					Array.from({ length: count }, (_, i) => patient.severity[(start + i) * axes + k]!),
				);
			}
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
