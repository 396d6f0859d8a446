import { RandomStream } from '../random.js';
import { codeIndex, noiseCodes } from './codes.js';
import { diseaseAxes, type Readout } from './disease-axes.js';
import { drawTraits, LatentState } from './dynamics.js';

const axes = diseaseAxes.length;
// Microseconds as numbers: exact up to the year 2255, and several times faster than bigint.
const minute = 60_000_000;
const dayLength = 1440 * minute;
/** Time of a static row. */
const timeless = Number.NEGATIVE_INFINITY;

const codes = {
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
const axisCodes = diseaseAxes.map((axis) => ({
	labs: axis.labs.map((lab) => codeIndex(lab.code)),
	stages: axis.stages.map((stage) => codeIndex(stage.code)),
	start: codeIndex(`MEDICATION//START//${axis.drug.code}`),
	stop: codeIndex(`MEDICATION//STOP//${axis.drug.code}`),
	procedure: codeIndex(axis.procedure.code),
}));

/** One simulated patient: events in MEDS order and the latent state of every day. */
export interface SimulatedPatient {
	/** Microseconds since 1970-01-01, in order; -Infinity for a static row. */
	readonly times: Float64Array;
	readonly codes: Int32Array;
	/** NaN where the event has no value. */
	readonly values: Float32Array;
	/** Day of the first latent state, days since 1970-01-01. */
	readonly firstDay: number;
	/** (days x axes) true severity at the end of each day, row-major. */
	readonly severity: Float32Array;
	readonly died: boolean;
}

/** Patient `index` of a cohort: a function of (seed, index, years) alone, whoever else is simulated. */
export function simulatePatient(seed: number, index: number, years: readonly [number, number]): SimulatedPatient {
	return new PatientSimulation(seed, index, years).run();
}

class PatientSimulation {
	readonly #life: RandomStream;
	readonly #noise: RandomStream;
	readonly #care: RandomStream;
	readonly #years: readonly [number, number];
	readonly #times: number[] = [];
	readonly #codes: number[] = [];
	readonly #values: number[] = [];
	/** Highest stage already diagnosed, by axis. */
	readonly #diagnosed = new Int8Array(axes);
	#state!: LatentState;

	constructor(seed: number, index: number, years: readonly [number, number]) {
		this.#life = new RandomStream(seed, 'cohort', index, 0);
		this.#noise = new RandomStream(seed, 'cohort', index, 1);
		this.#care = new RandomStream(seed, 'cohort', index, 2);
		this.#years = years;
	}

	run(): SimulatedPatient {
		const traits = drawTraits(this.#life);
		this.#state = new LatentState(traits, this.#life);
		const [fewest, most] = this.#years;
		const firstDay = 14_610 + this.#life.integer(1826); // entry between 2010 and 2014
		const days = Math.max(30, Math.round((fewest + (most - fewest) * this.#life.uniform()) * 365.25));
		this.#event(timeless, traits.female ? codes.female : codes.male);
		this.#event((firstDay - Math.round(traits.entryAge * 365.25)) * dayLength, codes.birth);

		const severity = new Float32Array(days * axes);
		let lived = 0;
		let died = false;
		for (let day = 0; day < days && !died; day++) {
			this.#state.advance(this.#noise);
			severity.set(this.#state.severity, day * axes);
			lived = day + 1;
			const age = traits.entryAge + day / 365.25;
			const start = (firstDay + day) * dayLength;
			if (day === 0 || this.#care.uniform() < this.#state.visitChance()) this.#outpatientVisit(start);
			else if (this.#care.uniform() < this.#state.admissionChance()) {
				const stay = Math.min(days - day - 1, this.#admission(start));
				for (let night = 0; night < stay; night++) {
					this.#state.advance(this.#noise);
					severity.set(this.#state.severity, (day + 1 + night) * axes);
				}
				day += stay;
				lived = day + 1;
			}
			if (this.#care.uniform() < this.#state.deathChance(age)) {
				died = true;
				this.#event((firstDay + day) * dayLength + 1439 * minute, codes.death);
			}
		}
		// Hospital days reach into later visits; MEDS wants ascending time. The sort is stable.
		const order = this.#times
			.map((_, i) => i)
			.sort((a, b) => (this.#times[a] === this.#times[b] ? a - b : this.#times[a]! - this.#times[b]!));
		return {
			times: Float64Array.from(order, (i) => this.#times[i]!),
			codes: Int32Array.from(order, (i) => this.#codes[i]!),
			values: Float32Array.from(order, (i) => this.#values[i]!),
			firstDay,
			severity: severity.slice(0, lived * axes),
			died,
		};
	}

	#event(time: number, code: number, value = Number.NaN): void {
		this.#times.push(time);
		this.#codes.push(code);
		this.#values.push(value);
	}

	#outpatientVisit(day: number): void {
		const random = this.#care;
		let time = day + (480 + random.integer(480)) * minute;
		this.#event(time, codes.visit);
		time += 10 * minute;
		for (let k = 0; k < axes; k++) {
			// Doctors measure more where they already know of a disease.
			const chance = 0.3 + 0.15 * this.#diagnosed[k]!;
			for (const [i, lab] of diseaseAxes[k]!.labs.entries()) {
				if (random.uniform() < chance) this.#measure(time, axisCodes[k]!.labs[i]!, lab, k, 1);
			}
		}
		this.#noiseEvents(time, 0.35);
		time += 40 * minute;
		this.#diagnose(time, 0.85, 0.3);
		time += 10 * minute;
		this.#treat(time);
	}

	/** @returns nights in hospital. */
	#admission(day: number): number {
		const random = this.#care;
		let time = day + (60 + random.integer(1080)) * minute;
		const elective = random.uniform() < 0.15;
		if (!elective) {
			this.#event(time, codes.emergency);
			time += (60 + random.integer(180)) * minute;
		}
		this.#event(time, elective ? codes.elective : codes.admission);
		const worst = Math.max(...this.#state.severity);
		const nights = 1 + Math.min(21, random.poisson(1.2 + 1.3 * Math.max(0, worst)));
		const intensive = random.uniform() < 0.06 + 0.1 * Math.max(0, worst - 1);
		if (intensive) this.#event(time + 60 * minute, codes.icu);
		for (let night = 0; night < nights; night++) {
			const round = time + night * dayLength + 120 * minute;
			for (let k = 0; k < axes; k++) {
				for (const [i, lab] of diseaseAxes[k]!.labs.entries()) {
					// An acute illness pushes the read-outs beyond what the chronic state explains, for the first days.
					if (random.uniform() < 0.3)
						this.#measure(round, axisCodes[k]!.labs[i]!, lab, k, 1 + 0.3 * Math.exp(-night / 2));
				}
			}
			if (night === 0) this.#noiseEvents(round, 0.5);
		}
		const end = time + nights * dayLength;
		if (intensive) this.#event(end - 600 * minute, codes.icuEnd);
		this.#diagnose(end - 60 * minute, 0.95, 0.6);
		this.#treat(end - 30 * minute);
		for (let k = 0; k < axes; k++) {
			if (this.#diagnosed[k]! >= 3 && random.uniform() < 0.35) this.#event(end - 20 * minute, axisCodes[k]!.procedure);
		}
		this.#event(end, worst > 2 && random.uniform() < 0.4 ? codes.facility : codes.home);
		return nights;
	}

	#measure(time: number, code: number, lab: Readout, axis: number, exaggeration: number): void {
		const signal = lab.base + lab.gain * exaggeration * this.#state.severity[axis]! + lab.noise * this.#care.normal();
		const value = lab.log === true ? Math.exp(signal) : Math.max(0, signal);
		this.#event(time, code, Number(value.toFixed(lab.decimals)));
	}

	/** New stages are found with chance `found`; known diseases are coded again with chance `repeated`. */
	#diagnose(time: number, found: number, repeated: number): void {
		for (let k = 0; k < axes; k++) {
			const stages = diseaseAxes[k]!.stages;
			let stage = 0;
			while (stage < stages.length && this.#state.severity[k]! > stages[stage]!.threshold) stage++;
			if (stage > this.#diagnosed[k]! && this.#care.uniform() < found) {
				this.#diagnosed[k] = stage;
				this.#event(time, axisCodes[k]!.stages[stage - 1]!);
			} else if (this.#diagnosed[k]! > 0 && this.#care.uniform() < repeated) {
				this.#event(time, axisCodes[k]!.stages[this.#diagnosed[k]! - 1]!);
			}
		}
	}

	/** Interventions change the drift from the next day on. */
	#treat(time: number): void {
		const random = this.#care;
		for (let k = 0; k < axes; k++) {
			const treated = this.#state.treated;
			if (treated[k] === 0 && this.#diagnosed[k]! >= 1 && random.uniform() < 0.25 + 0.2 * this.#diagnosed[k]!) {
				treated[k] = 1;
				this.#event(time, axisCodes[k]!.start);
			} else if (treated[k] === 1 && random.uniform() < (this.#state.severity[k]! < 0.2 ? 0.3 : 0.04)) {
				treated[k] = 0;
				this.#event(time, axisCodes[k]!.stop);
			}
		}
	}

	#noiseEvents(time: number, chance: number): void {
		const random = this.#care;
		for (const lab of noiseCodes.labs) {
			if (random.uniform() < chance) {
				this.#event(time, lab.index, Number((lab.mean + lab.deviation * random.normal()).toFixed(lab.decimals)));
			}
		}
		const pick = (list: readonly number[]) => list[random.integer(list.length)]!;
		if (random.uniform() < chance) this.#event(time + 20 * minute, pick(noiseCodes.procedures));
		if (random.uniform() < chance) this.#event(time + 35 * minute, pick(noiseCodes.diagnoses));
		if (random.uniform() < chance) this.#event(time + 39 * minute, pick(noiseCodes.drugs));
	}
}
