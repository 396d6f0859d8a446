/** Events of one patient in MEDS order, in typed arrays that grow and are used again for the next patient. */
export class EventBuffer {
	/** Events held; the arrays are longer. */
	count = 0;
	/** Microseconds since 1970-01-01, ascending; -Infinity for a static row. */
	times = new Float64Array(1024);
	/** Index into the codes of the cohort. */
	codes = new Int32Array(1024);
	/** NaN where the event has no value. */
	values = new Float32Array(1024);

	clear(): void {
		this.count = 0;
	}

	/**
	 * Inserts an event after all that are not later. Events come nearly in order (the last days of a stay reach into the
	 * visits after it), so few are moved.
	 */
	add(time: number, code: number, value: number): void {
		if (this.count === this.codes.length) this.#grow();
		const { times, codes, values } = this;
		let at = this.count++;
		for (; at > 0 && times[at - 1]! > time; at--) {
			times[at] = times[at - 1]!;
			codes[at] = codes[at - 1]!;
			values[at] = values[at - 1]!;
		}
		times[at] = time;
		codes[at] = code;
		values[at] = value;
	}

	/** Takes away the events later than a time. */
	dropAfter(time: number): void {
		while (this.count > 0 && this.times[this.count - 1]! > time) this.count--;
	}

	#grow(): void {
		const size = 2 * this.codes.length;
		const { times, codes, values } = this;
		this.times = new Float64Array(size);
		this.codes = new Int32Array(size);
		this.values = new Float32Array(size);
		this.times.set(times);
		this.codes.set(codes);
		this.values.set(values);
	}
}
