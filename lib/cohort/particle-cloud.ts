import type { RandomStream } from '../random.js';

/**
 * Weights of particles whose state falls into blocks, each weighted and resampled by itself: the block particle filter (Rebeschini
 * and van Handel, "Can local particle filters beat the curse of dimensionality?", Ann. Appl. Probab. 2015). With one block
 * it is the bootstrap filter (Gordon, Salmond and Smith 1993). What several blocks have in common weighs in each, with particle i of
 * the others standing for them, so that a block's weights are right on average; how blocks depend on each other given the
 * observations is kept only between two resamplings.
 */
export class ParticleCloud {
	readonly size: number;
	readonly blocks: number;
	/** (blocks,) of (size,) */
	readonly #logWeights: readonly Float64Array[];
	readonly #normalised: Float64Array;

	constructor(size: number, blocks: number) {
		this.size = size;
		this.blocks = blocks;
		this.#logWeights = Array.from({ length: blocks }, () => new Float64Array(size));
		this.#normalised = new Float64Array(size);
	}

	/** Makes all particles alike. */
	clear(): void {
		for (const block of this.#logWeights) block.fill(0);
	}

	copyFrom(other: ParticleCloud): void {
		for (const [block, weights] of this.#logWeights.entries()) weights.set(other.#logWeights[block]!);
	}

	/** Weighs one block of a particle with how likely an observation is under it. */
	weigh(block: number, particle: number, logLikelihood: number): void {
		this.#logWeights[block]![particle]! += logLikelihood;
	}

	/** Weighs every block of a particle. */
	weighAll(particle: number, logLikelihood: number): void {
		for (const block of this.#logWeights) block[particle]! += logLikelihood;
	}

	/** (size,) weights of a block, which sum to 1; valid until the next call. */
	weights(block: number): Float64Array {
		const logs = this.#logWeights[block]!;
		const weights = this.#normalised;
		let highest = Number.NEGATIVE_INFINITY;
		for (let i = 0; i < this.size; i++) highest = Math.max(highest, logs[i]!);
		let sum = 0;
		for (let i = 0; i < this.size; i++) {
			weights[i] = Math.exp(logs[i]! - highest);
			sum += weights[i]!;
		}
		for (let i = 0; i < this.size; i++) weights[i]! /= sum;
		return weights;
	}

	/** Particles of equal weight that would say as much. */
	effectiveSize(block: number): number {
		let squares = 0;
		for (const weight of this.weights(block)) squares += weight * weight;
		return 1 / squares;
	}

	/** Weighted mean over the particles of a block. */
	mean(block: number, read: (particle: number) => number): number {
		const weights = this.weights(block);
		let sum = 0;
		for (let i = 0; i < this.size; i++) sum += weights[i]! * read(i);
		return sum;
	}

	/**
	 * Draws the particles of a block anew by their weights, which are then equal (systematic resampling).
	 *
	 * @returns (size,) which particle each becomes a copy of; ascending.
	 */
	resample(block: number, random: RandomStream): Int32Array {
		const weights = this.weights(block);
		const sources = new Int32Array(this.size);
		const offset = random.uniform();
		let [source, reached] = [0, weights[0]!];
		for (let i = 0; i < this.size; i++) {
			const wanted = (i + offset) / this.size;
			while (reached < wanted && source < this.size - 1) reached += weights[++source]!;
			sources[i] = source;
		}
		this.#logWeights[block]!.fill(0);
		return sources;
	}
}

/**
 * Moves what never changes of resampled particles a little, without changing mean or variance (Liu and West 2001): else
 * a few values would be left of it after some resamplings.
 *
 * @param values - Of the particles that are to be moved.
 * @param share - Of the variance that is drawn anew.
 */
export function jitter(values: Float64Array, share: number, random: RandomStream): void {
	const { length } = values;
	if (length < 2) return;
	let mean = 0;
	for (const value of values) mean += value / length;
	let variance = 0;
	for (const value of values) variance += (value - mean) ** 2 / length;
	const kept = Math.sqrt(1 - share);
	const spread = Math.sqrt(share * variance);
	for (let i = 0; i < length; i++) values[i] = mean + kept * (values[i]! - mean) + spread * random.normal();
}
