import { RandomStream } from '../random.js';
import {
	diagnosing,
	exaggerationOf,
	facilityChance,
	intensiveCareChance,
	longestStay,
	meanNights,
	readoutMean,
	stageOf,
	startChance,
	stopChance,
} from './care.js';
import { codeIndex, noiseCodes } from './codes.js';
import { diseaseAxes, type Readout } from './disease-axes.js';
import { drawTraits, hazard, LatentState, normalsPerDay } from './dynamics.js';
import { EventBuffer } from './event-buffer.js';

const axes = diseaseAxes.length;
// Microseconds as numbers: exact up to the year 2255, and several times faster than bigint.
const minute = 60_000_000;
const dayLength = 1440 * minute;
/** Time of a static row. */
const timeless = Number.NEGATIVE_INFINITY;

/** Codes that every patient may have. */
export const careCodes = {
	female: codeIndex('GENDER//F'),
	male: codeIndex('GENDER//M'),
	birth: codeIndex('MEDS_BIRTH'),
	death: codeIndex('MEDS_DEATH'),
	visit: codeIndex('VISIT//OUTPATIENT'),
	emergency: codeIndex('ED_REGISTRATION'),
	admission: codeIndex('HOSPITAL_ADMISSION//EMERGENCY'),
	elective: codeIndex('HOSPITAL_ADMISSION//ELECTIVE'),
	home: codeIndex('HOSPITAL_DISCHARGE//HOME'),
	facility: codeIndex('HOSPITAL_DISCHARGE//FACILITY'),
	icu: codeIndex('ICU_ADMISSION//MEDICAL'),
	icuEnd: codeIndex('ICU_DISCHARGE//WARD'),
};
/** Codes of what an axis shows. */
export const axisCodes = diseaseAxes.map((axis) => ({
	labs: axis.labs.map((lab) => codeIndex(lab.code)),
	stages: axis.stages.map((stage) => codeIndex(stage.code)),
	start: codeIndex(`MEDICATION//START//${axis.drug.code}`),
	stop: codeIndex(`MEDICATION//STOP//${axis.drug.code}`),
	procedure: codeIndex(axis.procedure.code),
}));

/** Follow-up of a patient: shortest and longest, years. */
export type FollowUp = readonly [fewest: number, most: number];

const scales = [1, 10, 100];

/** One simulated patient: events in MEDS order and the latent state of every day. */
interface SimulatedPatient {
	/** Microseconds since 1970-01-01, in order; -Infinity for a static row. */
	readonly times: Float64Array;
	readonly codes: Int32Array;
	/** NaN where the event has no value. */
	readonly values: Float32Array;
	/** Day of the first latent state, days since 1970-01-01. */
	readonly firstDay: number;
	/** True severity of each axis, each (days,), at the end of each day. */
	readonly severity: readonly Float32Array[];
	readonly died: boolean;
}

/** Patient `index` of a cohort: a function of (seed, index, years) alone, whoever else is simulated. @internal */
export function simulatePatient(seed: number, index: number, years: FollowUp): SimulatedPatient {
	const simulation = new PatientSimulation(seed, years);
	simulation.run(index);
	const { events, severity, firstDay, days, died } = simulation;
	return {
		times: events.times.slice(0, events.count),
		codes: events.codes.slice(0, events.count),
		values: events.values.slice(0, events.count),
		firstDay,
		severity: severity.map((column) => column.slice(0, days)),
		died,
	};
}

// Days whose noise is drawn at once.
const daysPerDraw = 32;

/** Simulates patients one after another in the same memory: each run overwrites what the one before left. */
export class PatientSimulation {
	readonly events = new EventBuffer();
	/** Latent state of each axis, days from {@link firstDay} on; {@link days} are used. */
	readonly severity: readonly Float32Array[];
	firstDay = 0;
	/** Days lived in the record. */
	days = 0;
	died = false;
	readonly #seed: number;
	readonly #years: FollowUp;
	/** Highest stage already diagnosed, by axis. */
	readonly #diagnosed = new Int8Array(axes);
	readonly #normals = new Float64Array(daysPerDraw * normalsPerDay);
	#usedNormals = 0;
	#noise!: RandomStream;
	#care!: RandomStream;
	#state!: LatentState;

	constructor(seed: number, years: FollowUp) {
		this.#seed = seed;
		this.#years = years;
		const longest = followUpDays(years, 1);
		this.severity = diseaseAxes.map(() => new Float32Array(longest));
	}

	/** @param index - Which patient, from 0. */
	run(index: number): void {
		const life = new RandomStream(this.#seed, 'cohort', index, 0);
		this.#noise = new RandomStream(this.#seed, 'cohort', index, 1);
		this.#care = new RandomStream(this.#seed, 'cohort', index, 2);
		this.#usedNormals = this.#normals.length;
		this.#diagnosed.fill(0);
		this.events.clear();
		const care = this.#care;
		const traits = drawTraits(life);
		const state = new LatentState(traits, life);
		this.#state = state;
		this.firstDay = 14_610 + life.integer(1826); // entry between 2010 and 2014
		const last = followUpDays(this.#years, life.uniform());
		this.#event(timeless, traits.female ? careCodes.female : careCodes.male);
		this.#event((this.firstDay - Math.round(traits.entryAge * 365.25)) * dayLength, careCodes.birth);

		this.days = 0;
		this.died = false;
		// An event happens when its hazard, summed over the days, passes an exponential draw: 1 - exp(-hazard) each day.
		let untilVisit = care.exponential();
		let untilAdmission = care.exponential();
		let untilDeath = care.exponential();
		const { hazards } = state;
		while (this.days < last && !this.died) {
			const day = this.days;
			const start = (this.firstDay + day) * dayLength;
			const age = traits.entryAge + day / 365.25;
			this.#live();
			state.readHazards(age);
			if (day > 0) untilVisit -= hazards[hazard.visit]!;
			if (day === 0 || untilVisit < 0) {
				this.#outpatientVisit(start);
				if (day > 0) untilVisit = care.exponential();
			} else {
				untilAdmission -= hazards[hazard.admission]!;
				if (untilAdmission < 0) {
					const nights = Math.min(last - this.days, this.#admission(start));
					for (let night = 0; night < nights; night++) this.#live();
					state.readHazards(age);
					untilAdmission = care.exponential();
				}
			}
			untilDeath -= hazards[hazard.death]!;
			if (untilDeath < 0) {
				this.died = true;
				const time = (this.firstDay + this.days - 1) * dayLength + 1439 * minute;
				// The end of the follow-up may have cut a stay short: its later days are not lived.
				this.events.dropAfter(time);
				this.#event(time, careCodes.death);
			}
		}
	}

	/** One day of the latent state. */
	#live(): void {
		if (this.#usedNormals === this.#normals.length) {
			this.#noise.normals(this.#normals);
			this.#usedNormals = 0;
		}
		this.#state.advance(this.#normals, this.#usedNormals);
		this.#usedNormals += normalsPerDay;
		for (let k = 0; k < axes; k++) this.severity[k]![this.days] = this.#state.severity[k]!;
		this.days++;
	}

	#event(time: number, code: number, value = Number.NaN): void {
		this.events.add(time, code, value);
	}

	#outpatientVisit(day: number): void {
		const random = this.#care;
		let time = day + (480 + random.integer(480)) * minute;
		this.#event(time, careCodes.visit);
		time += 10 * minute;
		for (let k = 0; k < axes; k++) {
			// Doctors measure more where they already know of a disease.
			const chance = 0.3 + 0.15 * this.#diagnosed[k]!;
			const { labs } = diseaseAxes[k]!;
			for (let i = 0; i < labs.length; i++) {
				if (random.chance(chance)) this.#measure(time, axisCodes[k]!.labs[i]!, labs[i]!, k, 1);
			}
		}
		this.#noiseEvents(time, 0.35);
		time += 40 * minute;
		this.#diagnose(time, diagnosing.visit);
		time += 10 * minute;
		this.#treat(time);
	}

	/** @returns nights in hospital. */
	#admission(day: number): number {
		const random = this.#care;
		let time = day + (60 + random.integer(1080)) * minute;
		const elective = random.chance(0.15);
		if (!elective) {
			this.#event(time, careCodes.emergency);
			time += (60 + random.integer(180)) * minute;
		}
		this.#event(time, elective ? careCodes.elective : careCodes.admission);
		const worst = Math.max(...this.#state.severity);
		const nights = 1 + Math.min(longestStay, random.poisson(meanNights(worst)));
		const intensive = random.chance(intensiveCareChance(worst));
		if (intensive) this.#event(time + 60 * minute, careCodes.icu);
		for (let night = 0; night < nights; night++) {
			const round = time + night * dayLength + 120 * minute;
			for (let k = 0; k < axes; k++) {
				const { labs } = diseaseAxes[k]!;
				for (let i = 0; i < labs.length; i++) {
					if (random.chance(0.3)) this.#measure(round, axisCodes[k]!.labs[i]!, labs[i]!, k, exaggerationOf(night));
				}
			}
			if (night === 0) this.#noiseEvents(round, 0.5);
		}
		const end = time + nights * dayLength;
		if (intensive) this.#event(end - 600 * minute, careCodes.icuEnd);
		this.#diagnose(end - 60 * minute, diagnosing.stay);
		this.#treat(end - 30 * minute);
		for (let k = 0; k < axes; k++) {
			if (this.#diagnosed[k]! >= 3 && random.chance(0.35)) this.#event(end - 20 * minute, axisCodes[k]!.procedure);
		}
		this.#event(end, worst > 2 && random.chance(facilityChance(worst)) ? careCodes.facility : careCodes.home);
		return nights;
	}

	#measure(time: number, code: number, lab: Readout, axis: number, exaggeration: number): void {
		const signal = readoutMean(lab, exaggeration, this.#state.severity[axis]!) + lab.noise * this.#care.normal();
		const value = lab.log === true ? Math.exp(signal) : Math.max(0, signal);
		this.#event(time, code, rounded(value, lab.decimals));
	}

	/** New stages are found with chance `found`; known diseases are coded again with chance `repeated`. */
	#diagnose(time: number, { found, repeated }: { readonly found: number; readonly repeated: number }): void {
		for (let k = 0; k < axes; k++) {
			const stage = stageOf(k, this.#state.severity[k]!);
			if (stage > this.#diagnosed[k]! && this.#care.chance(found)) {
				this.#diagnosed[k] = stage;
				this.#event(time, axisCodes[k]!.stages[stage - 1]!);
			} else if (this.#diagnosed[k]! > 0 && this.#care.chance(repeated)) {
				this.#event(time, axisCodes[k]!.stages[this.#diagnosed[k]! - 1]!);
			}
		}
	}

	/** Interventions change the drift from the next day on. */
	#treat(time: number): void {
		const random = this.#care;
		for (let k = 0; k < axes; k++) {
			const treated = this.#state.treated;
			if (treated[k] === 0 && this.#diagnosed[k]! >= 1 && random.chance(startChance(this.#diagnosed[k]!))) {
				treated[k] = 1;
				this.#event(time, axisCodes[k]!.start);
			} else if (treated[k] === 1 && random.chance(stopChance(this.#state.severity[k]!))) {
				treated[k] = 0;
				this.#event(time, axisCodes[k]!.stop);
			}
		}
	}

	#noiseEvents(time: number, chance: number): void {
		const random = this.#care;
		for (const lab of noiseCodes.labs) {
			if (random.chance(chance)) {
				this.#event(time, lab.index, rounded(lab.mean + lab.deviation * random.normal(), lab.decimals));
			}
		}
		const pick = (list: readonly number[]) => list[random.integer(list.length)]!;
		if (random.chance(chance)) this.#event(time + 20 * minute, pick(noiseCodes.procedures));
		if (random.chance(chance)) this.#event(time + 35 * minute, pick(noiseCodes.diagnoses));
		if (random.chance(chance)) this.#event(time + 39 * minute, pick(noiseCodes.drugs));
	}
}

function followUpDays([fewest, most]: FollowUp, share: number): number {
	return Math.max(30, Math.round((fewest + (most - fewest) * share) * 365.25));
}

/** As it is reported: to some decimals. */
function rounded(value: number, decimals: number): number {
	const scale = scales[decimals]!;
	return Math.round(value * scale) / scale;
}
