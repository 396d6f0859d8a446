import type { EpochDay } from '../types.js';

/** Patients whose age is unknown or in doubt. */
export interface BirthCounts {
	/** Patients without a birth that has a time. */
	without: number;
	/** Patients with births on several days; the first is taken. */
	several: number;
}

/** The birth of one patient after the other. */
export class BirthDay {
	readonly counts: BirthCounts = { without: 0, several: 0 };
	#day: EpochDay | null = null;
	#several = false;

	/** Another birth of the current patient; days ascend. */
	add(day: EpochDay): void {
		this.#several ||= this.#day !== null && this.#day !== day;
		this.#day ??= day;
	}

	/** Ends the patient. */
	take(): EpochDay | null {
		const day = this.#day;
		if (day === null) this.counts.without++;
		if (this.#several) this.counts.several++;
		this.#day = null;
		this.#several = false;
		return day;
	}
}
