/** Numbers that are collected before their count is known. Word pairs (low first) stand for 64-bit integers. */
export class GrowingInt32 {
	items = new Int32Array(1024);
	length = 0;

	push(value: number): void {
		if (this.length === this.items.length) this.#grow(1);
		this.items[this.length++] = value;
	}

	pushPair(low: number, high: number): void {
		if (this.length + 2 > this.items.length) this.#grow(2);
		this.items[this.length++] = low;
		this.items[this.length++] = high;
	}

	pushAll(values: ArrayLike<number>): void {
		if (this.length + values.length > this.items.length) this.#grow(values.length);
		for (let i = 0; i < values.length; i++) this.items[this.length++] = values[i]!;
	}

	/** A copy, so that the memory can be used again. */
	int32s(): Int32Array {
		return this.items.slice(0, this.length);
	}

	int64s(): BigInt64Array {
		return new BigInt64Array(this.int32s().buffer);
	}

	clear(): void {
		this.length = 0;
		// What one very long record needed is not kept.
		if (this.items.length > 2 ** 22) this.items = new Int32Array(1024);
	}

	#grow(more: number): void {
		const larger = new Int32Array(Math.max(this.length + more, 2 * this.items.length));
		larger.set(this.items);
		this.items = larger;
	}
}
