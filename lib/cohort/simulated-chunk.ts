import { type EventColumns, staticTime } from '../data/meds-writer.js';
import { drawSplit } from '../data/splits.js';
import { type Split, splits as splitNames } from '../types.js';
import { diseaseAxes } from './disease-axes.js';
import { type SimulatedPatient, simulatePatient } from './record.js';

/** Which patients to simulate. */
export interface ChunkRequest {
	readonly seed: number;
	/** Index of the first patient; subject_id is the index + 1. */
	readonly first: number;
	readonly patients: number;
	/** Shortest and longest follow-up. */
	readonly years: readonly [number, number];
}

/** The true state, one row per patient and day. */
export interface LatentColumns {
	readonly subjectIds: BigInt64Array;
	/** Days since 1970-01-01. */
	readonly days: Int32Array;
	/** (rows x axes) row-major. */
	readonly severity: Float32Array;
}

/** Patients of a request as columns, which pass between threads without a copy. */
export interface SimulatedChunk {
	readonly splits: readonly {
		readonly split: Split;
		readonly subjectIds: BigInt64Array;
		readonly events: EventColumns;
	}[];
	readonly latents: LatentColumns;
	readonly deaths: number;
}

type Numbered = readonly [subjectId: bigint, patient: SimulatedPatient];

export function simulateChunk({ seed, first, patients, years }: ChunkRequest): SimulatedChunk {
	const all: Numbered[] = [];
	for (let index = first; index < first + patients; index++) {
		all.push([BigInt(index + 1), simulatePatient(seed, index, years)]);
	}
	const splits = splitNames
		.map((split) => ({ split, members: all.filter(([subjectId]) => drawSplit(subjectId, seed) === split) }))
		.filter(({ members }) => members.length > 0)
		.map(({ split, members }) => ({
			split,
			subjectIds: BigInt64Array.from(members, ([subjectId]) => subjectId),
			events: eventColumns(members),
		}));
	return { splits, latents: latentColumns(all), deaths: all.filter(([, { died }]) => died).length };
}

/** The buffers of a chunk, to be moved rather than copied. */
export function buffersOf({ splits, latents }: SimulatedChunk): ArrayBuffer[] {
	const columns = splits.flatMap(({ subjectIds, events }) => [subjectIds, ...Object.values(events)]);
	return [...columns, ...Object.values(latents)].map(({ buffer }) => buffer as ArrayBuffer);
}

function eventColumns(members: readonly Numbered[]): EventColumns {
	const count = members.reduce((sum, [, { times }]) => sum + times.length, 0);
	const columns = {
		subjectIds: new BigInt64Array(count),
		times: new BigInt64Array(count),
		codes: new Int32Array(count),
		values: new Float32Array(count),
	};
	let row = 0;
	for (const [subjectId, { times, codes, values }] of members) {
		columns.subjectIds.fill(subjectId, row, row + times.length);
		columns.codes.set(codes, row);
		columns.values.set(values, row);
		for (const time of times) columns.times[row++] = time === Number.NEGATIVE_INFINITY ? staticTime : BigInt(time);
	}
	return columns;
}

function latentColumns(members: readonly Numbered[]): LatentColumns {
	const axes = diseaseAxes.length;
	const count = members.reduce((sum, [, { severity }]) => sum + severity.length / axes, 0);
	const columns = {
		subjectIds: new BigInt64Array(count),
		days: new Int32Array(count),
		severity: new Float32Array(count * axes),
	};
	let row = 0;
	for (const [subjectId, { firstDay, severity }] of members) {
		const days = severity.length / axes;
		columns.subjectIds.fill(subjectId, row, row + days);
		columns.severity.set(severity, row * axes);
		for (let day = 0; day < days; day++) columns.days[row++] = firstDay + day;
	}
	return columns;
}
