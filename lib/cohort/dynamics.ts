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
	readonly #traits: PatientTraits;

	constructor(traits: PatientTraits, random: RandomStream) {
		this.#traits = traits;
		for (let k = 0; k < axes; k++) {
			this.severity[k] = Math.max(floor, 0.15 + 0.6 * random.normal() + 1.2 * traits.drift[k]!);
			this.rate[k] = traits.drift[k]! + 0.25 * random.normal();
		}
	}

	/** One day. */
	advance(random: RandomStream): void {
		const dt = 1 / daysPerYear;
		const root = Math.sqrt(dt);
		for (let k = 0; k < axes; k++) {
			let pull = this.#traits.drift[k]!;
			const row = coupling[k]!;
			for (let j = 0; j < axes; j++) pull += row[j]! * Math.max(0, this.severity[j]! - 0.7);
			this.rate[k]! += -rateReversion * (this.rate[k]! - pull) * dt + rateNoise * root * random.normal();
		}
		for (let k = 0; k < axes; k++) {
			const velocity = this.rate[k]! - (this.treated[k] === 1 ? this.#traits.response[k]! : 0);
			const next = this.severity[k]! + velocity * dt + severityNoise * root * random.normal();
			this.severity[k] = next < floor ? 2 * floor - next : next;
		}
	}

	/** Chance of an unplanned admission on one day. */
	admissionChance(): number {
		let burden = 0;
		for (let k = 0; k < axes; k++) {
			burden += diseaseAxes[k]!.acuity * (Math.max(0, this.severity[k]!) + 0.6 * Math.max(0, this.rate[k]!));
		}
		return 1 - Math.exp((-0.09 * Math.exp(0.95 * burden)) / daysPerYear);
	}

	/** Chance of an outpatient visit on one day. */
	visitChance(): number {
		let burden = 0;
		for (let k = 0; k < axes; k++) burden += Math.max(0, this.severity[k]!);
		return 1 - Math.exp((-3.2 * this.#traits.careSeeking * Math.exp(0.22 * burden)) / daysPerYear);
	}

	/** Chance of death on one day. */
	deathChance(age: number): number {
		let burden = 0;
		for (let k = 0; k < axes; k++) {
			const excess = Math.max(0, this.severity[k]! - 0.5);
			burden += diseaseAxes[k]!.lethality * excess * (1 + 0.25 * Math.max(0, this.rate[k]!));
		}
		return 1 - Math.exp((-0.007 * Math.exp(0.07 * (age - 60) + 1.05 * burden)) / daysPerYear);
	}
}
