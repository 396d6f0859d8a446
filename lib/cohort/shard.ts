import { setImmediate } from 'node:timers/promises';
import { MedsShardWriter } from '../data/meds-writer.js';
import { drawSplit } from '../data/splits.js';
import { AbortedError } from '../errors.js';
import { splits } from '../types.js';
import { cohortCodes } from './codes.js';
import { LatentWriter } from './latent-writer.js';
import { type FollowUp, PatientSimulation } from './record.js';

/** What all shards of a cohort have in common. */
export interface CohortRequest {
	readonly folder: string;
	readonly seed: number;
	readonly patients: number;
	readonly years: FollowUp;
	/** Patients whose true state is written: the first of the cohort. */
	readonly latentPatients: number;
}

/** A run of patients whose events lie in one file per split. */
export interface Shard {
	readonly number: number;
	/** Index of the first patient; subject_id is the index + 1. */
	readonly first: number;
	readonly patients: number;
}

/** What is in a shard that was written. */
export interface ShardSummary {
	readonly number: number;
	readonly events: number;
	readonly deaths: number;
	readonly patientDays: number;
	/** (patients,) index in `splits` of each patient. */
	readonly splitOf: Uint8Array<ArrayBuffer>;
	/** (codes,) 1 where the code occurred. */
	readonly usedCodes: Uint8Array<ArrayBuffer>;
}

// Patients simulated between two checks for an abort.
const patientsPerTurn = 32;

/** Shards of a cohort from `patients` and these alone, so that the number of threads cannot change the files. */
export function shardsOf(patients: number): Shard[] {
	// Small cohorts still keep several threads busy; large files are better read, and a shard is what a thread holds.
	const size = Math.min(4096, 512 * Math.ceil(patients / 8192));
	return Array.from({ length: Math.ceil(patients / size) }, (_, number) => ({
		number,
		first: number * size,
		patients: Math.min(size, patients - number * size),
	}));
}

/** Simulates shards and writes their files; memory is that of one shard. */
export class ShardSimulation {
	readonly #request: CohortRequest;
	readonly #events: MedsShardWriter;
	readonly #latents: LatentWriter | undefined;
	readonly #patient: PatientSimulation;

	private constructor(request: CohortRequest, events: MedsShardWriter, latents: LatentWriter | undefined) {
		this.#request = request;
		this.#events = events;
		this.#latents = latents;
		this.#patient = new PatientSimulation(request.seed, request.years);
	}

	static async create(request: CohortRequest): Promise<ShardSimulation> {
		const codes = cohortCodes.map(({ code }) => code);
		const events = await MedsShardWriter.create(request.folder, codes);
		try {
			const latents = request.latentPatients > 0 ? await LatentWriter.create(request.folder) : undefined;
			return new ShardSimulation(request, events, latents);
		} catch (cause) {
			await events.close();
			throw cause;
		}
	}

	/**
	 * @param onPatients - Told how many more patients are done.
	 * @throws {OutputError} {AbortedError}
	 */
	async run(
		{ number, first, patients }: Shard,
		signal: AbortSignal,
		onPatients: (count: number) => void,
	): Promise<ShardSummary> {
		const { seed, latentPatients } = this.#request;
		const { events, severity } = this.#patient;
		const splitOf = new Uint8Array(patients);
		const usedCodes = new Uint8Array(cohortCodes.length);
		const sums = { events: 0, deaths: 0, patientDays: 0 };
		for (let i = 0; i < patients; i++) {
			if (i % patientsPerTurn === 0) {
				if (i > 0) onPatients(patientsPerTurn);
				await setImmediate();
				if (signal.aborted) throw new AbortedError('[simulate] aborted');
			}
			const index = first + i;
			const subjectId = BigInt(index + 1);
			this.#patient.run(index);
			const { firstDay, days, died } = this.#patient;
			const split = drawSplit(subjectId, seed);
			await this.#events.append(split, subjectId, events);
			if (index < latentPatients) await this.#latents?.append(index, subjectId, firstDay, days, severity);
			splitOf[i] = splits.indexOf(split);
			for (let event = 0; event < events.count; event++) usedCodes[events.codes[event]!] = 1;
			sums.events += events.count;
			sums.patientDays += days;
			if (died) sums.deaths++;
		}
		await this.#latents?.finish();
		await this.#events.finish(number);
		onPatients(((patients - 1) % patientsPerTurn) + 1);
		return { number, ...sums, splitOf, usedCodes };
	}

	async close(): Promise<void> {
		await this.#events.close();
		await this.#latents?.close();
	}
}
