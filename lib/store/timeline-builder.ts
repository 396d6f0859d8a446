import type { EventChunk } from '../data/events.js';
import { staticTime } from '../data/meds-writer.js';
import { gapClass } from '../tokenizer/time-gaps.js';
import type { CodeMatch, Vocabulary } from '../tokenizer/vocabulary.js';
import { type EpochDay, microsecondsPerDay, type Timeline } from '../types.js';

/** What became of the events, so that nothing is dropped unseen. */
export interface TokenCounts {
	events: number;
	/** By what the code became. */
	known: number;
	backed_off: number;
	unknown: number;
	/** MEDS_BIRTH rows: they give the age token, not a token of the timeline. */
	births: number;
	/** Finite values that got a bin token, and those whose code has no cut points. */
	valuesBinned: number;
	valuesWithoutBin: number;
}

export function emptyCounts(): TokenCounts {
	return { events: 0, known: 0, backed_off: 0, unknown: 0, births: 0, valuesBinned: 0, valuesWithoutBin: 0 };
}

/** Calendar day of a time; floor, so that times before 1970 fall on their own day. */
export function epochDay(time: bigint): EpochDay {
	const day = time / microsecondsPerDay;
	return Number(time < 0n && day * microsecondsPerDay !== time ? day - 1n : day);
}

/** Turns ordered events into timelines, one patient after the other. */
export class TimelineBuilder {
	readonly counts = emptyCounts();
	readonly #vocabulary: Vocabulary;
	readonly #codes: readonly string[];
	readonly #tokenOf: Int32Array;
	readonly #matchOf: readonly CodeMatch[];
	readonly #isBirth: readonly boolean[];
	#subject: bigint | undefined;
	#statics: number[] = [];
	#birthDay: EpochDay | null = null;
	#tokens: number[] = [];
	#days: number[] = [];
	#dayOffsets: number[] = [];
	#times: bigint[] = [];
	#timeOffsets: number[] = [];

	/** @param codes - Code strings by the ids of the event chunks. */
	constructor(vocabulary: Vocabulary, codes: readonly string[]) {
		this.#vocabulary = vocabulary;
		this.#codes = codes;
		const matches = codes.map((code) => vocabulary.codeToken(code));
		this.#tokenOf = Int32Array.from(matches, ({ id }) => id);
		this.#matchOf = matches.map(({ match }) => match);
		this.#isBirth = codes.map((code) => code === 'MEDS_BIRTH' || code.startsWith('MEDS_BIRTH//'));
	}

	/** Takes a run of events; yields each patient that is complete. */
	*add(chunk: EventChunk): Generator<Timeline> {
		for (let row = 0; row < chunk.count; row++) {
			const subject = chunk.subjectIds[row]!;
			if (subject !== this.#subject) {
				if (this.#subject !== undefined) yield this.#take();
				this.#subject = subject;
			}
			this.#event(chunk.times[row]!, chunk.codes[row]!, chunk.values[row]!);
		}
	}

	/** The last patient. */
	*finish(): Generator<Timeline> {
		if (this.#subject !== undefined) yield this.#take();
		this.#subject = undefined;
	}

	#event(time: bigint, code: number, value: number): void {
		this.counts.events++;
		if (this.#isBirth[code]) {
			this.counts.births++;
			if (time !== staticTime) this.#birthDay = epochDay(time);
			return;
		}
		this.counts[this.#matchOf[code]!]++;
		const token = this.#tokenOf[code]!;
		const valueToken = Number.isNaN(value) ? undefined : this.#vocabulary.valueToken(this.#codes[code]!, value);
		if (!Number.isNaN(value)) {
			if (valueToken === undefined) this.counts.valuesWithoutBin++;
			else this.counts.valuesBinned++;
		}
		if (time === staticTime) {
			this.#statics.push(token);
			if (valueToken !== undefined) this.#statics.push(valueToken);
			return;
		}
		const previous = this.#times.at(-1);
		if (previous === undefined || time > previous) {
			const day = epochDay(time);
			if (this.#days.at(-1) !== day) {
				this.#days.push(day);
				this.#dayOffsets.push(this.#tokens.length);
			}
			this.#times.push(time);
			this.#timeOffsets.push(this.#tokens.length);
			// The gap belongs to the moment after it: a context that ends before this moment does not know of it.
			const gap = previous === undefined ? -1 : gapClass(time - previous);
			if (gap >= 0) this.#tokens.push(this.#vocabulary.gapToken(gap));
		}
		this.#tokens.push(token);
		if (valueToken !== undefined) this.#tokens.push(valueToken);
	}

	#take(): Timeline {
		const timeline: Timeline = {
			subjectId: this.#subject!,
			staticTokens: Int32Array.from(this.#statics),
			birthDay: this.#birthDay,
			tokens: Int32Array.from(this.#tokens),
			days: Int32Array.from(this.#days),
			dayOffsets: Int32Array.from([...this.#dayOffsets, this.#tokens.length]),
			times: BigInt64Array.from(this.#times),
			timeOffsets: Int32Array.from([...this.#timeOffsets, this.#tokens.length]),
		};
		this.#statics = [];
		this.#birthDay = null;
		this.#tokens = [];
		this.#days = [];
		this.#dayOffsets = [];
		this.#times = [];
		this.#timeOffsets = [];
		return timeline;
	}
}
