import type { RandomStream } from '../random.js';
import { coupling, diseaseAxes } from './disease-axes.js';

const axes = diseaseAxes.length;
/** Severity cannot fall below perfect health. */
const floor = -1;
const daysPerYear = 365.25;
/** Pull of the hidden rate of change towards its drift, per year: momentum lasts about eight months. */
const rateReversion = 1.5;
const rateNoise = 0.42;
const severityNoise = 0.22;

/** What distinguishes one patient from another; drawn once. */
export interface PatientTraits {
	readonly female: boolean;
	/** Years at entry into the record. */
	readonly entryAge: number;
	/** (axes,) yearly drift of severity without treatment. */
	readonly drift: Float64Array;
	/** (axes,) yearly fall of severity while the axis' drug is taken; some patients do not respond. */
	readonly response: Float64Array;
	/** How much more or less than others this patient sees a doctor. */
	readonly careSeeking: number;
}

export function drawTraits(random: RandomStream): PatientTraits {
	const female = random.uniform() < 0.52;
	const entryAge = 42 + 38 * random.uniform();
	const drift = new Float64Array(axes);
	const response = new Float64Array(axes);
	for (const [k, axis] of diseaseAxes.entries()) {
		drift[k] = axis.drift + axis.driftSpread * random.normal() + 0.004 * (entryAge - 60);
		// A quarter of the patients does not respond to a drug: seen only in what happens after it was started.
		response[k] = random.uniform() < 0.25 ? 0 : 0.45 + 0.2 * Math.abs(random.normal());
	}
	return { female, entryAge, drift, response, careSeeking: Math.exp(0.35 * random.normal()) };
}

const dt = 1 / daysPerYear;
const rateStep = rateNoise * Math.sqrt(dt);
const severityStep = severityNoise * Math.sqrt(dt);
/** Normals that a day needs: one for the rate and one for the severity of each axis. */
export const normalsPerDay = 2 * axes;

// Flat copies: the loops below run for every patient and day.
const acuity = Float64Array.from(diseaseAxes, (axis) => axis.acuity);
const lethality = Float64Array.from(diseaseAxes, (axis) => axis.lethality);
/** (axes x axes) coupling[k][j] at j axes + k: what axis j does to the others lies together. */
const couplingByCause = Float64Array.from(
	{ length: axes * axes },
	(_, i) => coupling[i % axes]![Math.floor(i / axes)]!,
);

/** Places of the intensities: outpatient visits, unplanned admissions, death. */
export const hazard = { visit: 0, admission: 1, death: 2 } as const;

/**
 * Latent state of one patient and how a day changes it: a second-order stochastic system (Euler-Maruyama, one day).
 *
 *     rate_k'     = -a (rate_k - drift_k - sum_j c_kj max(0, severity_j - 0.7)) + s_r noise
 *     severity_k' = rate_k - treated_k response_k + s_s noise,   reflected at -1
 */
export class LatentState {
	readonly severity = new Float64Array(axes);
	/** Hidden momentum, per year: two patients of equal severity may be on their way up or down. */
	readonly rate = new Float64Array(axes);
	readonly treated = new Uint8Array(axes);
	/** (3,) what {@link readHazards} found. */
	readonly hazards = new Float64Array(3);
	readonly #traits: PatientTraits;
	readonly #pull = new Float64Array(axes);

	constructor(traits: PatientTraits, random: RandomStream) {
		this.#traits = traits;
		for (let k = 0; k < axes; k++) {
			this.severity[k] = Math.max(floor, 0.15 + 0.6 * random.normal() + 1.2 * traits.drift[k]!);
			this.rate[k] = traits.drift[k]! + 0.25 * random.normal();
		}
	}

	/**
	 * One day, or several at once: their noise and drift together.
	 *
	 * @param noise - {@link normalsPerDay} standard normals from `offset` on: rates first, then severities.
	 */
	advance(noise: Float64Array, offset: number, days = 1): void {
		const { severity, rate, treated } = this;
		const years = dt * days;
		const spread = Math.sqrt(days);
		const { drift, response } = this.#traits;
		const pull = this.#pull;
		pull.set(drift);
		for (let j = 0; j < axes; j++) {
			const excess = severity[j]! - 0.7;
			if (excess <= 0) continue;
			for (let k = 0; k < axes; k++) pull[k]! += couplingByCause[j * axes + k]! * excess;
		}
		for (let k = 0; k < axes; k++) {
			const next = rate[k]! - rateReversion * (rate[k]! - pull[k]!) * years + rateStep * spread * noise[offset + k]!;
			rate[k] = next;
			const velocity = treated[k] === 1 ? next - response[k]! : next;
			const moved = severity[k]! + velocity * years + severityStep * spread * noise[offset + axes + k]!;
			severity[k] = moved < floor ? 2 * floor - moved : moved;
		}
	}

	/**
	 * Puts the intensities of one day into {@link hazards}, at the places of {@link hazard}: something happens that day with
	 * chance 1 - exp(-hazard). One pass and an array, because a number that is returned would be an object on the heap.
	 *
	 * @param age - Years.
	 */
	readHazards(age: number): void {
		let visits = 0;
		let admissions = 0;
		let deaths = 0;
		for (let k = 0; k < axes; k++) {
			const z = this.severity[k]!;
			const rising = Math.max(0, this.rate[k]!);
			const ill = Math.max(0, z);
			visits += ill;
			admissions += acuity[k]! * (ill + 0.6 * rising);
			deaths += lethality[k]! * Math.max(0, z - 0.5) * (1 + 0.25 * rising);
		}
		const { hazards } = this;
		hazards[hazard.visit] = 3.2 * dt * this.#traits.careSeeking * Math.exp(0.22 * visits);
		hazards[hazard.admission] = 0.09 * dt * Math.exp(0.95 * admissions);
		hazards[hazard.death] = 0.007 * dt * Math.exp(0.07 * (age - 60) + 1.05 * deaths);
	}
}
