import { findCode } from './codes.js';
import { diseaseAxes } from './disease-axes.js';
import { axisCodes, careCodes } from './record.js';

const microsecondsPerDay = 86_400_000_000;

/** What one visit or stay shows of the true state of its first day. */
export interface Encounter {
	readonly kind: 'visit' | 'stay';
	/** Day of its first event, days since 1970-01-01. */
	readonly day: number;
	/** Microseconds since 1970-01-01 of the first event and, so far, of the last. */
	readonly begin: number;
	end: number;
	/** Of a stay: when the patient was admitted. */
	admitted: number;
	readonly labs: { readonly axis: number; readonly lab: number; readonly night: number; readonly value: number }[];
	/** (axes,) stage that was coded, 0 for none. */
	readonly stages: Int8Array;
	/** (axes,) 1 for a drug that was started, -1 for one that was stopped. */
	readonly drugs: Int8Array;
	intensive: boolean;
	/** Where a stay ended; undefined while it lasts. */
	discharge: 'home' | 'facility' | undefined;
}

interface Meaning {
	readonly axis: number;
	readonly lab?: number;
	readonly stage?: number;
	readonly drug?: number;
}

const meanings = new Map<number, Meaning>(
	axisCodes.flatMap(({ labs, stages, start, stop }, axis) => [
		...labs.map((code, lab) => [code, { axis, lab }] as const),
		...stages.map((code, i) => [code, { axis, stage: i + 1 }] as const),
		[start, { axis, drug: 1 }] as const,
		[stop, { axis, drug: -1 }] as const,
	]),
);

/** Events of one patient of the simulated cohort, in order. */
export interface PatientEvents {
	/** Microseconds since 1970-01-01; events without a time are left out. */
	readonly times: ArrayLike<number>;
	readonly codes: readonly string[];
	/** NaN for none. */
	readonly values: ArrayLike<number>;
}

/** A record as the filter reads it. */
export interface ObservedRecord {
	/** Days since 1970-01-01. */
	readonly birthDay: number;
	readonly encounters: readonly Encounter[];
}

/**
 * Reads events of the simulator back as visits and stays; what says nothing of the state (noise, procedures) is passed over.
 *
 * @param until - Events later than this are not known; microseconds since 1970-01-01.
 */
export function observedRecord({ times, codes, values }: PatientEvents, until = Infinity): ObservedRecord {
	let birthDay = Number.NaN;
	const encounters: Encounter[] = [];
	for (const [i, name] of codes.entries()) {
		const time = times[i]!;
		if (time > until) break;
		const code = findCode(name);
		if (code === undefined) continue;
		if (code === careCodes.birth) birthDay = Math.floor(time / microsecondsPerDay);
		const current = encounters.at(-1);
		if (code === careCodes.visit) encounters.push(begun('visit', time));
		else if (code === careCodes.emergency) encounters.push(begun('stay', time));
		else if (code === careCodes.elective) encounters.push(begun('stay', time));
		else if (code === careCodes.admission) {
			// A stay by way of the emergency department has begun there.
			if (current?.kind === 'stay' && current.discharge === undefined) current.admitted = time;
			else encounters.push(begun('stay', time));
		} else if (current !== undefined) add(current, code, time, values[i]!);
		const last = encounters.at(-1);
		if (last !== undefined) last.end = time;
	}
	return { birthDay, encounters };
}

function begun(kind: Encounter['kind'], time: number): Encounter {
	const axes = diseaseAxes.length;
	return {
		kind,
		day: Math.floor(time / microsecondsPerDay),
		begin: time,
		end: time,
		admitted: time,
		labs: [],
		stages: new Int8Array(axes),
		drugs: new Int8Array(axes),
		intensive: false,
		discharge: undefined,
	};
}

function add(encounter: Encounter, code: number, time: number, value: number): void {
	if (code === careCodes.icu) encounter.intensive = true;
	if (code === careCodes.home) encounter.discharge = 'home';
	if (code === careCodes.facility) encounter.discharge = 'facility';
	const meaning = meanings.get(code);
	if (meaning === undefined) return;
	const { axis, lab, stage, drug } = meaning;
	if (stage !== undefined) encounter.stages[axis] = stage;
	if (drug !== undefined) encounter.drugs[axis] = drug;
	if (lab === undefined) return;
	const night = encounter.kind === 'visit' ? 0 : Math.floor((time - encounter.admitted) / microsecondsPerDay);
	encounter.labs.push({ axis, lab, night, value });
}

/** Nights of a stay that is over. */
export function nightsOf({ admitted, end }: Encounter): number {
	return Math.round((end - admitted) / microsecondsPerDay);
}
