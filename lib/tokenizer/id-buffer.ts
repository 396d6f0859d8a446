/** Token ids that are collected before their number is known. */
export class IdBuffer {
	#ids = new Int32Array(1024);
	#length = 0;

	get length(): number {
		return this.#length;
	}

	append(source: ArrayLike<number>, from = 0, until = source.length): void {
		const needed = this.#length + until - from;
		if (needed > this.#ids.length) {
			const larger = new Int32Array(Math.max(needed, 2 * this.#ids.length));
			larger.set(this.#ids);
			this.#ids = larger;
		}
		// A line has few ids: a loop beats set(subarray).
		for (let i = from; i < until; i++) this.#ids[this.#length++] = source[i]!;
	}

	/** The ids from a place on, without a copy; valid until the next append. */
	since(from: number): Int32Array {
		return this.#ids.subarray(from, this.#length);
	}

	/** A copy of all ids; the buffer is empty afterwards. */
	take(): Int32Array {
		const ids = this.#ids.slice(0, this.#length);
		this.#length = 0;
		return ids;
	}

	clear(): void {
		this.#length = 0;
	}
}
