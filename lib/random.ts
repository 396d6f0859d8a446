/**
 * Counter-based random numbers (Philox4x32-10, Salmon et al., SC 2011): a draw is a pure function of
 * (seed, purpose, key...), so the order of work and the number of workers cannot change a result.
 */
const multiplier0 = 0xd2511f53;
const multiplier1 = 0xcd9e8d57;
const weyl0 = 0x9e3779b9;
const weyl1 = 0xbb67ae85;

/** High and low 32 bits of a 32 x 32 bit product; JavaScript numbers hold only 53 bits of it. */
function multiplyHighLow(a: number, b: number): [high: number, low: number] {
	const aLow = a & 0xffff;
	const aHigh = a >>> 16;
	const bLow = b & 0xffff;
	const bHigh = b >>> 16;
	const lowLow = aLow * bLow;
	const middle1 = aHigh * bLow + (lowLow >>> 16);
	const middle2 = aLow * bHigh + (middle1 & 0xffff);
	const high = aHigh * bHigh + Math.floor(middle1 / 65536) + Math.floor(middle2 / 65536);
	return [high >>> 0, Math.imul(a, b) >>> 0];
}

/** One Philox4x32-10 block: four 32-bit words from a 128-bit counter and a 64-bit key. */
export function philox4x32(counter: readonly number[], key: readonly number[]): [number, number, number, number] {
	let c0 = (counter[0] ?? 0) >>> 0;
	let c1 = (counter[1] ?? 0) >>> 0;
	let c2 = (counter[2] ?? 0) >>> 0;
	let c3 = (counter[3] ?? 0) >>> 0;
	let k0 = (key[0] ?? 0) >>> 0;
	let k1 = (key[1] ?? 0) >>> 0;
	for (let round = 0; round < 10; round++) {
		const [high0, low0] = multiplyHighLow(multiplier0, c0);
		const [high1, low1] = multiplyHighLow(multiplier1, c2);
		c0 = (high1 ^ c1 ^ k0) >>> 0;
		c1 = low1;
		c2 = (high0 ^ c3 ^ k1) >>> 0;
		c3 = low0;
		k0 = (k0 + weyl0) >>> 0;
		k1 = (k1 + weyl1) >>> 0;
	}
	return [c0, c1, c2, c3];
}

/** What a stream of draws is for. Each purpose has its own numbers, so a new use never shifts an old one. */
export const purposes = {
	cohort: 1,
	split: 2,
	epoch: 3,
	cut: 4,
	mask: 5,
	indexDate: 6,
	bootstrap: 7,
	initialisation: 8,
	dropout: 9,
	probe: 10,
} as const;
export type Purpose = keyof typeof purposes;

/** A sequence of draws for one (seed, purpose, stream, substream). */
export class RandomStream {
	readonly #key: readonly [number, number];
	readonly #stream: number;
	readonly #substream: number;
	readonly #purpose: number;
	#block = 0;
	#words: readonly number[] = [];
	#used = 0;
	#spareNormal: number | undefined;

	/**
	 * @param seed - Non-negative safe integer.
	 * @param stream - What is drawn for: a step, a patient number. Below 2^32.
	 * @param substream - A second index, such as a sequence within the step. Below 2^24.
	 */
	constructor(seed: number, purpose: Purpose, stream = 0, substream = 0) {
		this.#key = [seed >>> 0, Math.floor(seed / 2 ** 32) >>> 0];
		this.#purpose = purposes[purpose];
		this.#stream = stream >>> 0;
		this.#substream = substream >>> 0;
	}

	/** Uniform 32-bit integer. */
	uint32(): number {
		if (this.#used === this.#words.length) {
			const counter = [this.#block++, this.#stream, this.#substream, this.#purpose];
			this.#words = philox4x32(counter, this.#key);
			this.#used = 0;
		}
		return this.#words[this.#used++]!;
	}

	/** Uniform in [0, 1), 53 bits. */
	uniform(): number {
		const high = this.uint32() >>> 5;
		const low = this.uint32() >>> 6;
		return (high * 2 ** 26 + low) / 2 ** 53;
	}

	/** Uniform integer in [0, bound), bound at most 2^32; unbiased by rejection. */
	integer(bound: number): number {
		const limit = 2 ** 32 - (2 ** 32 % bound);
		let word = this.uint32();
		while (word >= limit) word = this.uint32();
		return word % bound;
	}

	/** Standard normal (polar method). */
	normal(): number {
		if (this.#spareNormal !== undefined) {
			const spare = this.#spareNormal;
			this.#spareNormal = undefined;
			return spare;
		}
		for (;;) {
			const u = 2 * this.uniform() - 1;
			const v = 2 * this.uniform() - 1;
			const s = u * u + v * v;
			if (s > 0 && s < 1) {
				const factor = Math.sqrt((-2 * Math.log(s)) / s);
				this.#spareNormal = v * factor;
				return u * factor;
			}
		}
	}

	/** Exponential with the given mean. */
	exponential(mean = 1): number {
		return -mean * Math.log(1 - this.uniform());
	}

	/** Poisson by inversion; meant for means below about 50. */
	poisson(mean: number): number {
		const limit = Math.exp(-mean);
		let product = this.uniform();
		let count = 0;
		while (product > limit) {
			count++;
			product *= this.uniform();
		}
		return count;
	}

	/** Fisher-Yates in place; returns its argument. */
	shuffle<T extends { length: number; [index: number]: unknown }>(items: T): T {
		for (let i = items.length - 1; i > 0; i--) {
			const j = this.integer(i + 1);
			const held = items[i];
			items[i] = items[j];
			items[j] = held;
		}
		return items;
	}
}
