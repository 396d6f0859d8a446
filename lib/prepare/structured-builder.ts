import type { LifeCodes } from '../data/life-codes.js';
import type { TimelineColumns } from '../store/timeline-columns.js';
import { gapClass } from '../tokenizer/time-gaps.js';
import { unitSpelling } from '../tokenizer/unit-spelling.js';
import { binOf, type Vocabulary } from '../tokenizer/vocabulary.js';
import { type BirthCounts, BirthDay } from './birth-day.js';
import { elapsed, epochDay, staticHigh } from './event-time.js';
import { addSparse, type SparseCounts, sparse } from './sparse-counts.js';

/** What became of the events and values of each code, so that nothing is dropped unseen. */
const countedByCode = [
	'events',
	/** Finite values that got a bin token. */
	'binned',
	/** Finite values whose code has no cut points. */
	'withoutBin',
	/** Finite values in another unit than the code's usual one. */
	'otherUnit',
] as const;
type CountedByCode = (typeof countedByCode)[number];

/** Counts of a part as JSON. */
export type StructuredPartCounts = { readonly kind: 'structured' } & Readonly<Record<CountedByCode, SparseCounts>>;

/** (codes,) each. */
export type CodeCounts = Readonly<Record<CountedByCode, Float64Array>>;

export function emptyCodeCounts(codes: number): CodeCounts {
	const zeros = () => new Float64Array(codes);
	return { events: zeros(), binned: zeros(), withoutBin: zeros(), otherUnit: zeros() };
}

export function addCodeCounts(total: CodeCounts, counts: StructuredPartCounts): void {
	for (const key of countedByCode) addSparse(total[key], counts[key]);
}

/** Turns the events of one patient after the other into structured tokens. */
export class StructuredBuilder {
	readonly #counts: CodeCounts;
	readonly #tokenOf: Int32Array;
	readonly #cutsOf: readonly (Float32Array | undefined)[];
	readonly #unitOf: Int32Array;
	/** (units,) equal for units that are only spelt differently. */
	readonly #spellingOf: Int32Array;
	readonly #isBirth: readonly boolean[];
	readonly #bins: readonly number[];
	readonly #vocabulary: Vocabulary;
	readonly #births = new BirthDay();
	#events = 0;
	#day = 0;
	#timeLow = 0;
	#timeHigh = staticHigh;

	/** @param names - Strings by the numbers of the event blocks. */
	constructor(
		vocabulary: Vocabulary,
		names: { readonly code: readonly string[]; readonly unit: readonly string[] },
		lifeCodes: LifeCodes,
	) {
		this.#vocabulary = vocabulary;
		this.#counts = emptyCodeCounts(names.code.length);
		this.#tokenOf = Int32Array.from(names.code, (code) => vocabulary.codeToken(code).id);
		this.#cutsOf = names.code.map((code) => vocabulary.cutsOf(code));
		this.#isBirth = names.code.map((code) => lifeCodes.isBirth(code));
		this.#bins = vocabulary.binTokens;
		const spellings = new Map<string, number>();
		for (const unit of names.unit) {
			const spelling = unitSpelling(unit);
			if (!spellings.has(spelling)) spellings.set(spelling, spellings.size);
		}
		// -2: any unit will do; -3: a unit that these data do not have.
		this.#unitOf = Int32Array.from(names.code, (code) => {
			const unit = vocabulary.file.units[code];
			if (unit === undefined) return -2;
			return spellings.get(unitSpelling(unit)) ?? -3;
		});
		this.#spellingOf = Int32Array.from(names.unit, (unit) => spellings.get(unitSpelling(unit))!);
	}

	/**
	 * An event of the current patient; times ascend.
	 *
	 * @param value - NaN for none.
	 * @param unit - -1 for none, which is taken for the usual one.
	 */
	event(columns: TimelineColumns, timeLow: number, timeHigh: number, code: number, value: number, unit: number): void {
		this.#counts.events[code]!++;
		const isStatic = timeHigh === staticHigh;
		if (this.#isBirth[code]) {
			if (!isStatic) this.#births.add(epochDay(timeLow, timeHigh));
			return;
		}
		const valueToken = Number.isNaN(value) ? -1 : this.#valueToken(code, value, unit);
		if (isStatic) {
			const statics = columns.staticTokens.values;
			statics.push(this.#tokenOf[code]!);
			if (valueToken >= 0) statics.push(valueToken);
			return;
		}
		const tokens = columns.tokens.values;
		if (timeLow !== this.#timeLow || timeHigh !== this.#timeHigh) this.#moment(columns, timeLow, timeHigh);
		this.#events++;
		tokens.push(this.#tokenOf[code]!);
		if (valueToken >= 0) tokens.push(valueToken);
	}

	/** Of the patients so far. */
	get births(): BirthCounts {
		return this.#births.counts;
	}

	/** What became of all events so far. */
	counts(): StructuredPartCounts {
		const { events, binned, withoutBin, otherUnit } = this.#counts;
		return {
			kind: 'structured',
			events: sparse(events),
			binned: sparse(binned),
			withoutBin: sparse(withoutBin),
			otherUnit: sparse(otherUnit),
		};
	}

	#moment(columns: TimelineColumns, timeLow: number, timeHigh: number): void {
		const first = this.#timeHigh === staticHigh;
		const day = epochDay(timeLow, timeHigh);
		const at = columns.tokens.length;
		if (first || day !== this.#day) {
			columns.days.values.push(day);
			columns.dayOffsets.values.push(at);
			this.#day = day;
		}
		columns.times.values.pushPair(timeLow, timeHigh);
		columns.timeOffsets.values.push(at);
		columns.eventOffsets.values.push(this.#events);
		// The gap belongs to the moment after it: a context that ends before this moment does not know of it.
		const gap = first ? -1 : gapClass(elapsed(this.#timeLow, this.#timeHigh, timeLow, timeHigh));
		if (gap >= 0) columns.tokens.values.push(this.#vocabulary.gapToken(gap));
		this.#timeLow = timeLow;
		this.#timeHigh = timeHigh;
	}

	#valueToken(code: number, value: number, unit: number): number {
		const cuts = this.#cutsOf[code];
		if (cuts === undefined) {
			this.#counts.withoutBin[code]!++;
			return -1;
		}
		const usual = this.#unitOf[code]!;
		if (unit >= 0 && usual !== -2 && this.#spellingOf[unit] !== usual) {
			this.#counts.otherUnit[code]!++;
			return -1;
		}
		this.#counts.binned[code]!++;
		return this.#bins[binOf(cuts, value)]!;
	}

	endPatient(columns: TimelineColumns, subjectLow: number, subjectHigh: number): void {
		if (columns.staticTokens.length > 0) {
			columns.staticTimes.values.pushPair(0, staticHigh);
			columns.staticOffsets.values.push(0);
		}
		columns.endPatient(subjectLow, subjectHigh, this.#births.take(), this.#events);
		this.#events = 0;
		this.#timeHigh = staticHigh;
		this.#timeLow = 0;
	}
}
