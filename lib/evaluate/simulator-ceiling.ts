import { setImmediate } from 'node:timers/promises';
import type { DuckDBBigIntVector, DuckDBDoubleVector, DuckDBVarCharVector } from '@duckdb/node-api';
import { observedRecord, type PatientEvents } from '../cohort/encounters.js';
import { StateFilter } from '../cohort/state-filter.js';
import { eventsSql, type MedsDataset } from '../data/meds.js';
import { type Database, withDatabase } from '../data/query.js';
import { AbortedError } from '../errors.js';
import { type IndexDateRow, sampleKey } from '../tasks/read.js';
import { dayOf } from '../text/calendar.js';
import type { EvaluatedModel } from './evaluation-file.js';
import type { LatentTargets } from './latent-state.js';
import type { LatentReading } from './reading.js';

/** Twice as many change R² in the third decimal. */
const particles = 300;

export const ceilingModel: EvaluatedModel = {
	name: 'simulator',
	label: 'Knows the simulator',
	kind: 'ceiling',
	description:
		'no model: a particle filter that knows the equations of the simulator reads the whole record up to the index date; about what can be known of the true state, from below',
};

interface FilteredPatient {
	readonly events: { readonly times: number[]; readonly codes: string[]; readonly values: number[] };
	readonly dates: readonly IndexDateRow[];
}

/**
 * What can be known of the true state of held-out patients at their index dates, now and ahead, by one who knows the
 * simulator: docs/simulated-cohort.md. It sees of a record what is there up to the index date, as every model does.
 *
 * @param seed - Of its particles.
 * @returns For each of the targets, in their order.
 * @throws {DataError} {AbortedError}
 */
export async function ceilingReadings(
	dataset: MedsDataset,
	targets: readonly LatentTargets[],
	seed: number,
	signal?: AbortSignal,
): Promise<LatentReading[]> {
	const dates = new Map<string, IndexDateRow>();
	for (const { samples } of targets)
		for (const { sample } of samples) if (sample.split === 'held_out') dates.set(sampleKey(sample), sample);
	const horizons = targets.map(({ horizonDays }) => horizonDays).filter((days) => days > 0);
	const states = new Map<string, readonly Float64Array[]>();
	const [filter, ahead] = [new StateFilter(particles), new StateFilter(particles)];
	await withDatabase({}, async (database) => {
		for await (const patient of heldOutPatients(database, dataset, [...dates.values()], signal)) {
			// Filtering takes a while; other work gets its turn between two patients.
			await setImmediate();
			if (signal?.aborted) throw new AbortedError('[evaluate] aborted', { cause: signal.reason });
			for (const [date, found] of filtered(filter, ahead, patient, horizons, seed)) states.set(sampleKey(date), found);
		}
	});
	return targets.map(({ horizonDays, samples }): LatentReading => {
		const place = horizonDays === 0 ? 0 : 1 + horizons.indexOf(horizonDays);
		const held = samples.filter(({ sample }) => sample.split === 'held_out');
		if (held.length === 0) return { undefinedReason: 'no samples in held_out' };
		const predicted = held.map(({ sample }) => states.get(sampleKey(sample))?.[place]);
		const missing = predicted.filter((state) => state === undefined).length;
		if (missing > 0)
			return { undefinedReason: `${missing} records without birth or visit, which the simulator does not make` };
		return { l2: null, predicted: predicted.flatMap((state) => [...state!]) };
	});
}

/** (axes,) severity now and at each horizon, by index date. */
function* filtered(
	filter: StateFilter,
	ahead: StateFilter,
	{ events, dates }: FilteredPatient,
	horizons: readonly number[],
	seed: number,
): Generator<readonly [IndexDateRow, readonly Float64Array[]]> {
	const whole = observedRecord(events);
	const [first] = whole.encounters;
	if (first === undefined || Number.isNaN(whole.birthDay)) return;
	const key = Number(BigInt.asUintN(32, dates[0]!.subjectId));
	filter.begin(seed, key, whole.birthDay, first.day);
	let next = 0;
	for (const date of dates) {
		const until = Number(date.predictionTime);
		const known = observedRecord(events, until).encounters;
		if (known.length === 0) continue;
		// What was over by then stays known for the dates after it.
		for (; isOverBy(whole.encounters[next], until); next++) filter.observe(whole.encounters[next]!, next === 0, true);
		ahead.copyFrom(filter, seed, key);
		const begun = known[next];
		if (begun !== undefined) ahead.observe(begun, next === 0, false);
		ahead.liveUntil(dayOf(date.predictionTime), begun?.kind !== 'stay');
		const now = ahead.severity();
		yield [date, [now, ...ahead.forecast(horizons)]];
	}
}

function isOverBy(
	encounter: ReturnType<typeof observedRecord>['encounters'][number] | undefined,
	time: number,
): boolean {
	if (encounter === undefined || encounter.end > time) return false;
	return encounter.kind === 'visit' || encounter.discharge !== undefined;
}

/** Events of the patients of index dates, one patient after the other, with their dates in order. */
async function* heldOutPatients(
	database: Database,
	dataset: MedsDataset,
	dates: readonly IndexDateRow[],
	signal: AbortSignal | undefined,
): AsyncGenerator<FilteredPatient> {
	const datesOf = new Map<bigint, IndexDateRow[]>();
	for (const date of dates) datesOf.set(date.subjectId, [...(datesOf.get(date.subjectId) ?? []), date]);
	if (datesOf.size === 0) return;
	for (const list of datesOf.values())
		list.sort((a, b) => (a.predictionTime < b.predictionTime ? -1 : Number(a.predictionTime > b.predictionTime)));
	let subject: bigint | undefined;
	let events: PatientEvents & FilteredPatient['events'] = { times: [], codes: [], values: [] };
	const rows = `SELECT subject_id, time, code, coalesce(value::DOUBLE, 'nan'::DOUBLE) FROM (${eventsSql(dataset)})
		WHERE time IS NOT NULL AND subject_id IN (${[...datesOf.keys()].join(', ')}) ORDER BY 1, 2, 3, 4`;
	for await (const chunk of database.stream(rows, signal)) {
		const [subjects, times] = [0, 1].map((c) => chunk.getColumnVector(c) as DuckDBBigIntVector);
		const codes = chunk.getColumnVector(2) as DuckDBVarCharVector;
		const values = chunk.getColumnVector(3) as DuckDBDoubleVector;
		for (let row = 0; row < chunk.rowCount; row++) {
			const found = subjects!.getItem(row)!;
			if (found !== subject) {
				if (subject !== undefined) yield { events, dates: datesOf.get(subject)! };
				subject = found;
				events = { times: [], codes: [], values: [] };
			}
			events.times.push(Number(times!.getItem(row)));
			events.codes.push(codes.getItem(row)!);
			events.values.push(values.getItem(row)!);
		}
	}
	if (subject !== undefined) yield { events, dates: datesOf.get(subject)! };
}
