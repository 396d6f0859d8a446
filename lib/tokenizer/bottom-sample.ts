/**
 * The values with the smallest keys: a random sample without replacement that does not depend on the order in which values
 * arrive, nor on how they are spread over threads. All values while there are no more than `size`; one more for each value
 * whose key equals the largest that is kept.
 */
export class BottomSample {
	readonly size: number;
	/** Values that were offered. */
	offered = 0;
	#keys = new Float64Array(64);
	#values = new Float32Array(64);
	#length = 0;
	#limit = Number.POSITIVE_INFINITY;

	constructor(size: number) {
		this.size = size;
	}

	/** @param key - Uniform, and of the value's own: see {@link sampleKey}. */
	add(key: number, value: number): void {
		this.offered++;
		if (key <= this.#limit) this.#keep(key, value);
	}

	/** Adds what another sample of the same size holds. */
	addAll({ offered, keys, values }: SampledValues): void {
		for (const [i, key] of keys.entries()) if (key <= this.#limit) this.#keep(key, values[i]!);
		this.offered += offered;
	}

	#keep(key: number, value: number): void {
		if (this.#length === this.#keys.length) {
			if (this.#length >= 2 * this.size) this.#shrink();
			// Keys that are equal can leave it full.
			if (this.#length === this.#keys.length) this.#grow();
			if (key > this.#limit) return;
		}
		this.#keys[this.#length] = key;
		this.#values[this.#length++] = value;
	}

	#grow(): void {
		const length = 2 * this.#length;
		const [keys, values] = [new Float64Array(length), new Float32Array(length)];
		keys.set(this.#keys);
		values.set(this.#values);
		[this.#keys, this.#values] = [keys, values];
	}

	/** Keeps the values whose keys are not above the `size`-th smallest. */
	#shrink(): void {
		if (this.#length <= this.size) return;
		this.#limit = this.#keys.slice(0, this.#length).sort()[this.size - 1]!;
		let kept = 0;
		for (let i = 0; i < this.#length; i++) {
			if (this.#keys[i]! > this.#limit) continue;
			this.#keys[kept] = this.#keys[i]!;
			this.#values[kept++] = this.#values[i]!;
		}
		this.#length = kept;
	}

	/** What is kept, in no order. */
	take(): SampledValues {
		this.#shrink();
		return {
			offered: this.offered,
			keys: this.#keys.slice(0, this.#length),
			values: this.#values.slice(0, this.#length),
		};
	}
}

export interface SampledValues {
	readonly offered: number;
	readonly keys: Float64Array;
	readonly values: Float32Array;
}

/** Key of the n-th value of a subject: 53 bits of two rounds of MurmurHash3's finaliser. */
export function sampleKey(low: number, high: number, n: number): number {
	const a = mixed(low ^ Math.imul(mixed(high ^ 0x9e3779b9), 0x85ebca6b) ^ Math.imul(n + 1, 0xc2b2ae35));
	const b = mixed(a ^ Math.imul(low, 0x27d4eb2f) ^ Math.imul(n, 0x165667b1));
	return (a >>> 0) * 2 ** 21 + (b >>> 11);
}

function mixed(x: number): number {
	let h = x;
	h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
	h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
	return h ^ (h >>> 16);
}
