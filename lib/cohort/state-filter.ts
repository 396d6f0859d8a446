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
import { diseaseAxes } from './disease-axes.js';
import { drawTraits, hazard, LatentState, normalsPerDay, type PatientTraits } from './dynamics.js';
import { type Encounter, nightsOf } from './encounters.js';
import { jitter, ParticleCloud } from './particle-cloud.js';

const axes = diseaseAxes.length;
/** Block of how often a patient sees a doctor, behind those of the axes. */
const careBlock = axes;
/** Days between two encounters are taken so many at once. */
const stride = 5;
/** Days without an encounter after which weights are looked at. */
const checkedDays = 60;
/** A block is drawn anew when it says no more than this share of its particles would. */
const fewestEffective = 0.5;
/** Share of the variance of traits that each resampling draws anew. */
const jittered = 0.01;
/** Of what the simulator cannot do but particles that are a little off do. */
const impossible = Math.log(1e-4);

interface Traits extends PatientTraits {
	careSeeking: number;
}

/**
 * What can be known of a simulated patient's state from the record by one who knows the simulator: a block particle filter over
 * severity, hidden rate of change, drift and response of each axis and the patient's care-seeking. It weighs visits,
 * admissions and their absence, survival, laboratory values, codings and their absence, nights, intensive care, discharge and stopped
 * drugs as the simulator draws them; what is approximate is in docs/simulated-cohort.md.
 */
export class StateFilter {
	/** Days since 1970-01-01 up to which the state is known. */
	day = 0;
	readonly #size: number;
	readonly #cloud: ParticleCloud;
	readonly #states: LatentState[] = [];
	readonly #traits: Traits[] = [];
	readonly #diagnosed = new Int8Array(axes);
	readonly #noise: Float64Array;
	#random!: RandomStream;
	#birthDay = 0;

	constructor(particles: number) {
		this.#size = particles;
		this.#cloud = new ParticleCloud(particles, axes + 1);
		this.#noise = new Float64Array(particles * normalsPerDay);
	}

	/** Begins with a patient of whom nothing but age and first day is known. @param key - Decides every draw, with the seed. */
	begin(seed: number, key: number, birthDay: number, firstDay: number): void {
		this.#random = new RandomStream(seed, 'particles', key);
		this.#birthDay = birthDay;
		this.#cloud.clear();
		this.#diagnosed.fill(0);
		const age = (firstDay - birthDay) / 365.25;
		for (let i = 0; i < this.#size; i++) {
			const traits: Traits = { ...drawTraits(this.#random) };
			// Drift depends on the age at entry, which is known.
			for (let k = 0; k < axes; k++) traits.drift[k]! += 0.004 * (age - traits.entryAge);
			this.#traits[i] = traits;
			this.#states[i] = new LatentState(traits, this.#random);
		}
		this.day = firstDay - 1;
	}

	/** Becomes a copy of another filter of the same size, with draws of its own. @param key - Decides them. */
	copyFrom(other: StateFilter, seed: number, key: number): void {
		this.#random = new RandomStream(seed, 'particles', key, 1);
		this.#birthDay = other.#birthDay;
		this.day = other.day;
		this.#cloud.copyFrom(other.#cloud);
		this.#diagnosed.set(other.#diagnosed);
		for (let i = 0; i < this.#size; i++) {
			const [from, traits] = [other.#states[i]!, other.#traits[i]!];
			const own = { ...traits, drift: traits.drift.slice(), response: traits.response.slice() };
			const state = new LatentState(own, this.#random);
			state.severity.set(from.severity);
			state.rate.set(from.rate);
			state.treated.set(from.treated);
			this.#traits[i] = own;
			this.#states[i] = state;
		}
	}

	/** Lives to the end of a day on which, as on all days before it, no encounter began. */
	liveUntil(day: number, outside = true): void {
		while (this.day < day) {
			const until = Math.min(day, this.day + checkedDays);
			while (this.day < until) {
				const days = Math.min(stride, until - this.day);
				this.#advance(days);
				if (outside) this.#weighQuiet(days);
			}
			this.#resample();
		}
	}

	/**
	 * Takes in an encounter; one of which not everything is known yet leaves the filter on its first day.
	 *
	 * @param isFirst - Of the record.
	 * @param isOver - What was not done in it will not be.
	 */
	observe(encounter: Encounter, isFirst: boolean, isOver: boolean): void {
		this.liveUntil(encounter.day - 1);
		this.#advance(1);
		this.#weighBeginning(encounter, isFirst);
		this.#weighLabs(encounter);
		if (encounter.kind === 'stay') this.#weighStay(encounter, isOver);
		if (isOver) this.#weighDecisions(encounter);
		this.#resample();
		// In hospital no visit can be made; the day of discharge ends it.
		if (isOver && encounter.kind === 'stay') this.liveUntil(encounter.day + nightsOf(encounter), false);
	}

	/** (axes,) mean severity at the end of {@link day}. */
	severity(): Float64Array {
		return Float64Array.from({ length: axes }, (_, k) => this.#cloud.mean(k, (i) => this.#states[i]!.severity[k]!));
	}

	/** (axes,) variance of the severity. */
	variance(): Float64Array {
		const means = this.severity();
		return means.map((mean, k) => this.#cloud.mean(k, (i) => (this.#states[i]!.severity[k]! - mean) ** 2));
	}

	/**
	 * Mean severity after some days of a patient who is then alive, whatever visits, stays and drugs come. The filter is spent.
	 *
	 * @param horizons - Days ahead, ascending.
	 * @returns (axes,) each.
	 */
	forecast(horizons: readonly number[]): Float64Array[] {
		const random = this.#random;
		const diagnosed = Array.from({ length: this.#size }, () => this.#diagnosed.slice());
		const begin = this.day;
		return horizons.map((horizon) => {
			while (this.day < begin + horizon) {
				const days = Math.min(stride, begin + horizon - this.day);
				this.#advance(days);
				for (let i = 0; i < this.#size; i++) {
					const { hazards } = this.#hazardsOf(i);
					this.#cloud.weighAll(i, -days * hazards[hazard.death]!);
					if (random.chance(1 - Math.exp(-days * hazards[hazard.visit]!))) {
						this.#decide(i, diagnosed[i]!, diagnosing.visit.found);
					} else if (random.chance(1 - Math.exp(-days * hazards[hazard.admission]!))) {
						this.#decide(i, diagnosed[i]!, diagnosing.stay.found);
					}
				}
			}
			return this.severity();
		});
	}

	/** What doctors of a possible future find and do. */
	#decide(i: number, diagnosed: Int8Array, found: number): void {
		const { severity, treated } = this.#states[i]!;
		const random = this.#random;
		for (let k = 0; k < axes; k++) {
			const stage = stageOf(k, severity[k]!);
			if (stage > diagnosed[k]! && random.chance(found)) diagnosed[k] = stage;
			if (treated[k] === 1) {
				if (random.chance(stopChance(severity[k]!))) treated[k] = 0;
			} else if (diagnosed[k]! >= 1 && random.chance(startChance(diagnosed[k]!))) treated[k] = 1;
		}
	}

	#advance(days: number): void {
		this.#random.normals(this.#noise);
		for (let i = 0; i < this.#size; i++) this.#states[i]!.advance(this.#noise, i * normalsPerDay, days);
		this.day += days;
	}

	#hazardsOf(i: number): LatentState {
		const state = this.#states[i]!;
		state.readHazards((this.day - this.#birthDay) / 365.25);
		return state;
	}

	/** Days on which nothing began and the patient stayed alive. */
	#weighQuiet(days: number): void {
		for (let i = 0; i < this.#size; i++) {
			const { hazards } = this.#hazardsOf(i);
			this.#cloud.weighAll(i, -days * (hazards[hazard.visit]! + hazards[hazard.admission]! + hazards[hazard.death]!));
		}
	}

	#weighBeginning({ kind }: Encounter, isFirst: boolean): void {
		for (let i = 0; i < this.#size; i++) {
			const { hazards } = this.#hazardsOf(i);
			const [visit, admission] = [hazards[hazard.visit]!, hazards[hazard.admission]!];
			const began = kind === 'visit' ? Math.log(-Math.expm1(-visit)) : Math.log(-Math.expm1(-admission)) - visit;
			// Every record begins with a visit.
			this.#cloud.weighAll(i, (isFirst ? 0 : began) - hazards[hazard.death]!);
		}
	}

	#weighLabs({ kind, labs }: Encounter): void {
		for (const { axis, lab, night, value } of labs) {
			const readout = diseaseAxes[axis]!.labs[lab]!;
			const exaggeration = kind === 'visit' ? 1 : exaggerationOf(night);
			// What rounds to 0 was at most half the last decimal.
			const least = 0.5 * 10 ** -readout.decimals;
			const seen = readout.log === true ? Math.log(Math.max(value, least)) : value;
			for (let i = 0; i < this.#size; i++) {
				const mean = readoutMean(readout, exaggeration, this.#states[i]!.severity[axis]!);
				this.#cloud.weigh(axis, i, -0.5 * ((seen - mean) / readout.noise) ** 2);
			}
		}
	}

	/** What a stay says of the worst axis: intensive care, nights and where it ended, as far as they are known. */
	#weighStay(encounter: Encounter, isOver: boolean): void {
		const more = Math.min(longestStay, nightsOf(encounter) - 1);
		for (let i = 0; i < this.#size; i++) {
			const worst = Math.max(...this.#states[i]!.severity);
			const intensive = intensiveCareChance(worst);
			let logLikelihood = Math.log(encounter.intensive ? intensive : 1 - intensive);
			if (isOver) {
				const mean = meanNights(worst);
				logLikelihood += more * Math.log(mean) - mean;
				const facility = facilityChance(worst);
				logLikelihood += atLeast(encounter.discharge === 'facility' ? facility : 1 - facility);
			}
			this.#cloud.weighAll(i, logLikelihood);
		}
	}

	/** Codings and drugs, with those that did not come. */
	#weighDecisions({ kind, stages, drugs }: Encounter): void {
		const { found, repeated } = diagnosing[kind];
		for (let k = 0; k < axes; k++) {
			const known = this.#diagnosed[k]!;
			const coded = stages[k]!;
			const wasTreated = this.#states[0]!.treated[k] === 1;
			for (let i = 0; i < this.#size; i++) {
				const severity = this.#states[i]!.severity[k]!;
				const stage = stageOf(k, severity);
				const missed = stage > known ? 1 - found : 1;
				let likelihood: number;
				if (coded > known) likelihood = stage === coded ? found : 0;
				else if (coded > 0) likelihood = missed * repeated;
				else likelihood = missed * (known > 0 ? 1 - repeated : 1);
				let logLikelihood = atLeast(likelihood);
				if (wasTreated) {
					const stop = stopChance(severity);
					logLikelihood += Math.log(drugs[k] === -1 ? stop : 1 - stop);
				}
				this.#cloud.weigh(k, i, logLikelihood);
			}
			this.#diagnosed[k] = Math.max(known, coded);
			if (drugs[k] !== 0) for (const { treated } of this.#states) treated[k] = drugs[k] === 1 ? 1 : 0;
		}
	}

	#resample(): void {
		for (let block = 0; block <= careBlock; block++) {
			if (this.#cloud.effectiveSize(block) > fewestEffective * this.#size) continue;
			const sources = this.#cloud.resample(block, this.#random);
			if (block === careBlock) this.#resampleCare(sources);
			else this.#resampleAxis(block, sources);
		}
	}

	#resampleAxis(k: number, sources: Int32Array): void {
		const take = (read: (i: number) => number) => Float64Array.from(sources, read);
		const severity = take((i) => this.#states[i]!.severity[k]!);
		const rate = take((i) => this.#states[i]!.rate[k]!);
		const drift = take((i) => this.#traits[i]!.drift[k]!);
		const response = take((i) => this.#traits[i]!.response[k]!);
		jitter(drift, jittered, this.#random);
		// Who does not respond to a drug does not respond at all.
		const responding = response.filter((value) => value > 0);
		jitter(responding, jittered, this.#random);
		let next = 0;
		for (let i = 0; i < this.#size; i++) {
			this.#states[i]!.severity[k] = severity[i]!;
			this.#states[i]!.rate[k] = rate[i]!;
			this.#traits[i]!.drift[k] = drift[i]!;
			this.#traits[i]!.response[k] = response[i]! > 0 ? responding[next++]! : 0;
		}
	}

	#resampleCare(sources: Int32Array): void {
		const logs = Float64Array.from(sources, (i) => Math.log(this.#traits[i]!.careSeeking));
		jitter(logs, jittered, this.#random);
		for (let i = 0; i < this.#size; i++) this.#traits[i]!.careSeeking = Math.exp(logs[i]!);
	}
}

function atLeast(likelihood: number): number {
	return likelihood > 0 ? Math.log(likelihood) : impossible;
}
