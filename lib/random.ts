/**
 * Counter-based random numbers (Philox4x32-10, Salmon et al., SC 2011): a draw is a pure function of
 * (seed, purpose, key...), so the order of work and the number of workers cannot change a result.
 */
const multiplier0 = 0xd2511f53;
const multiplier1 = 0xcd9e8d57;
const weyl0 = 0x9e3779b9;
const weyl1 = 0xbb67ae85;

/** High 32 bits of a 32 x 32 bit product; JavaScript numbers hold only 53 bits of it. */
function multiplyHigh(a: number, b: number): number {
	const aLow = a & 0xffff;
	const aHigh = a >>> 16;
	const bLow = b & 0xffff;
	const bHigh = b >>> 16;
	const middle1 = aHigh * bLow + ((aLow * bLow) >>> 16);
	const middle2 = aLow * bHigh + (middle1 & 0xffff);
	// Every partial sum is below 2^32, so the shifts are exact.
	return (aHigh * bHigh + (middle1 >>> 16) + (middle2 >>> 16)) >>> 0;
}

/** Philox4x32-10 blocks: `words` holds four 32-bit words for each of the counters (first, c1, c2, c3), (first + 1, ...), ... @internal */
export function philox4x32(
	words: Uint32Array,
	first: number,
	[stream, substream, purpose]: readonly [number, number, number],
	[key0, key1]: readonly [number, number],
): void {
	for (let block = 0; 4 * block < words.length; block++) {
		let c0 = (first + block) >>> 0;
		let c1 = stream;
		let c2 = substream;
		let c3 = purpose;
		let k0 = key0;
		let k1 = key1;
		for (let round = 0; round < 10; round++) {
			const high0 = multiplyHigh(multiplier0, c0);
			const low0 = Math.imul(multiplier0, c0);
			const high1 = multiplyHigh(multiplier1, c2);
			const low1 = Math.imul(multiplier1, c2);
			c0 = high1 ^ c1 ^ k0;
			c1 = low1;
			c2 = high0 ^ c3 ^ k1;
			c3 = low0;
			k0 = (k0 + weyl0) | 0;
			k1 = (k1 + weyl1) | 0;
		}
		words[4 * block] = c0;
		words[4 * block + 1] = c1;
		words[4 * block + 2] = c2;
		words[4 * block + 3] = c3;
	}
}

/** What a stream of draws is for. Each purpose has its own numbers, so a new use never shifts an old one. */
const purposes = {
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
	/** Random directions of SIGReg; drawn by the native core. */
	directions: 11,
	/** Order of the batches that were packed together. */
	packing: 12,
	/** Stochastic rounding to bfloat16; drawn by the native core. */
	rounding: 13,
	/** Cuts of the windows that the instruments of training read. */
	instruments: 14,
	/** Particles of the filter that knows the simulator. */
	particles: 15,
	/** Patients, points of the map and resamples of the report's trajectories. */
	trajectories: 16,
	/** Small training sets that models are compared on. */
	trainingSize: 17,
	/** Patients of the folds of a cross-validation. */
	folds: 18,
	/** Stochastic rounding of gradients that travel between ranks; drawn by the native core. */
	travel: 19,
} as const;
export type Purpose = keyof typeof purposes;

const longWords = 128;

const levels = 65_536;
let coarseNormals: Float32Array | undefined;

/** (levels,) quantiles of the standard normal at the middle of equal shares, scaled to unit variance. */
function makeCoarseNormals(): Float32Array {
	const quantiles = new Float64Array(levels);
	let squares = 0;
	for (let i = 0; i < levels / 2; i++) {
		const quantile = normalQuantile((i + 0.5) / levels);
		quantiles[i] = quantile;
		quantiles[levels - 1 - i] = -quantile;
		squares += 2 * quantile * quantile;
	}
	const scale = 1 / Math.sqrt(squares / levels);
	return Float32Array.from(quantiles, (quantile) => quantile * scale);
}

/** Inverse of the standard normal distribution function for p in (0, 0.5] (P. J. Acklam's approximation, relative error below 1.2e-9). */
export function normalQuantile(p: number): number {
	if (p < 0.02425) {
		const q = Math.sqrt(-2 * Math.log(p));
		const top = polynomial(
			q,
			-7.784894002430293e-3,
			-0.3223964580411365,
			-2.400758277161838,
			-2.549732539343734,
			4.374664141464968,
			2.938163982698783,
		);
		return top / polynomial(q, 7.784695709041462e-3, 0.3224671290700398, 2.445134137142996, 3.754408661907416, 1);
	}
	const q = p - 0.5;
	const r = q * q;
	const top = polynomial(
		r,
		-39.69683028665376,
		220.9460984245205,
		-275.9285104469687,
		138.357751867269,
		-30.66479806614716,
		2.506628277459239,
	);
	const bottom = polynomial(
		r,
		-54.47609879822406,
		161.5858368580409,
		-155.6989798598866,
		66.80131188771972,
		-13.28068155288572,
		1,
	);
	return (q * top) / bottom;
}

/** Horner's rule, highest power first. */
function polynomial(x: number, ...coefficients: readonly number[]): number {
	return coefficients.reduce((sum, coefficient) => sum * x + coefficient, 0);
}

/** A sequence of draws for one (seed, purpose, stream, substream). */
export class RandomStream {
	readonly #key: readonly [number, number];
	readonly #counter: readonly [number, number, number];
	#block = 0;
	#words = new Uint32Array(0);
	#used = 0;
	#spareNormal: number | undefined;
	#bulk = new Uint32Array(0);

	/**
	 * @param seed - Non-negative safe integer.
	 * @param stream - What is drawn for: a step, a patient number. Below 2^32.
	 * @param substream - A second index, such as a sequence within the step. Below 2^24.
	 */
	constructor(seed: number, purpose: Purpose, stream = 0, substream = 0) {
		this.#key = [seed >>> 0, Math.floor(seed / 2 ** 32) >>> 0];
		this.#counter = [stream >>> 0, substream >>> 0, purposes[purpose]];
	}

	/** Uniform 32-bit integer. */
	uint32(): number {
		if (this.#used === this.#words.length) {
			// Most streams are short, a patient's is long: one block first, then many at once.
			if (this.#words.length < longWords) this.#words = new Uint32Array(this.#block === 0 ? 4 : longWords);
			philox4x32(this.#words, this.#block, this.#counter, this.#key);
			this.#block += this.#words.length / 4;
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

	/** True with a probability, to 32 bits. */
	chance(probability: number): boolean {
		return this.uint32() < probability * 2 ** 32;
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
			// 32 bits each are enough: the tail reaches 6.7 standard deviations.
			const u = this.uint32() / 2 ** 31 - 1;
			const v = this.uint32() / 2 ** 31 - 1;
			const s = u * u + v * v;
			if (s > 0 && s < 1) {
				const factor = Math.sqrt((-2 * Math.log(s)) / s);
				this.#spareNormal = v * factor;
				return u * factor;
			}
		}
	}

	/**
	 * Fills `out` with standard normals by inversion of 16 bits each: 65,536 equally likely values of unit variance, none
	 * beyond 4.4. Several times as fast as {@link normal}, for noise of which only sums over many steps are seen. Draws whole
	 * blocks of its own: mixing it with the other draws of a stream keeps both right.
	 */
	normals(out: Float64Array): void {
		coarseNormals ??= makeCoarseNormals();
		const table = coarseNormals;
		const pairs = out.length >> 1;
		// Four words a block, two normals a word.
		const needed = 4 * Math.ceil(out.length / 8);
		if (this.#bulk.length < needed) this.#bulk = new Uint32Array(needed);
		const words = this.#bulk.length === needed ? this.#bulk : this.#bulk.subarray(0, needed);
		philox4x32(words, this.#block, this.#counter, this.#key);
		this.#block += needed / 4;
		for (let i = 0; i < pairs; i++) {
			const word = words[i]!;
			out[2 * i] = table[word & 0xffff]!;
			out[2 * i + 1] = table[word >>> 16]!;
		}
		if (out.length % 2 === 1) out[out.length - 1] = table[words[pairs]! & 0xffff]!;
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
