import { RandomStream } from '../random.js';

// Enough for the halves to mix well; four already make a pseudo-random permutation (Luby and Rackoff 1988).
const rounds = 6;

/**
 * A new random order of 0 .. size - 1 in each epoch, without an array of it: a Feistel network on a x b >= size with
 * Philox as its round function, walked along its cycle back into the range (Black and Rogaway, "Ciphers with arbitrary finite
 * domains", 2002).
 */
export class PatientOrder {
	readonly size: number;
	readonly #seed: number;
	readonly #left: number;
	readonly #right: number;

	/** @param size - From 1, below 2^31. */
	constructor(seed: number, size: number) {
		this.#seed = seed;
		this.size = size;
		this.#left = Math.ceil(Math.sqrt(size));
		this.#right = Math.ceil(size / this.#left);
	}

	/** @param draw - From 0; `size` draws make an epoch, in which every number comes once. */
	at(draw: number): number {
		const epoch = Math.floor(draw / this.size);
		let place = draw % this.size;
		do place = this.#permute(place, epoch);
		while (place >= this.size);
		return place;
	}

	#permute(place: number, epoch: number): number {
		let left = place % this.#left;
		let right = Math.floor(place / this.#left);
		for (let round = 0; round < rounds; round++) {
			if (round % 2 === 0) left = (left + (this.#draw(right, round, epoch) % this.#left)) % this.#left;
			else right = (right + (this.#draw(left, round, epoch) % this.#right)) % this.#right;
		}
		return right * this.#left + left;
	}

	/** A word that depends on all three; half is below 2^16, round below 8. */
	#draw(half: number, round: number, epoch: number): number {
		return new RandomStream(this.#seed, 'epoch', epoch, half * 8 + round).uint32();
	}
}
