import { z } from 'zod';
import { parseConfig, positiveInteger } from '../config.js';
import { LifeCodes } from '../data/life-codes.js';
import { ConfigError } from '../errors.js';
import { type EpochDay, type Microseconds, microsecondsPerDay } from '../types.js';
import { dayOf, isoDate } from './calendar.js';
import { type Category, CategoryMap, categories } from './categories.js';
import { codeLines, type LineStyle, type PlacedEvent } from './code-lines.js';
import { type DraftBlock, draftBlock, joinBlocks, placeBlocks, type TextBlock, type TextLine } from './layout.js';
import { defaultSignificantDigits, significant, twoDecimal } from './number-format.js';
import { byDay, type TextFormat } from './serialise-by-day.js';
import { tagged } from './serialise-tagged.js';
import { addTextCounts, countOne, emptyTextCounts, type TextCounts } from './text-counts.js';
import { checkTextEvent, type TextEvent } from './text-event.js';
import { datedBins, TimeBins } from './time-bins.js';
import { newestThatFit, type TextWindow } from './window.js';

const CategoryList = z.record(z.string(), z.enum(categories)).default({});

/** Options of a serialiser. What is not said to be ours is that of the released serialisers (paper.md 1.5). */
export const SerialiserOptions = z.strictObject({
	/** `by-day` is UT2 without tags, `tagged` is UT1. */
	format: z.enum(['by-day', 'tagged']).default('by-day'),
	/** What a line begins with; a code without a description is written as it is. */
	label: z.enum(['description', 'code']).default('description'),
	/** Ours: `significant`. The released `two-decimal` turns 0.004 into 0.00. */
	numbers: z.enum(['significant', 'two-decimal']).default('significant'),
	/** Read by `significant`: digits of a number that is not whole. */
	significantDigits: z.int().min(1).max(17).default(defaultSignificantDigits),
	/** The newest values of a code in a block. */
	valuesPerLine: positiveInteger.default(5),
	/** Ours: `demographics`. The released `any-code` writes the diagnosis of a "birth injury" as the birth of the patient. */
	birthLines: z.enum(['demographics', 'any-code']).default('demographics'),
	/** Bins instead of days: (days back to the start, to the end), oldest first. Needs an index date. */
	timeBins: TimeBins.optional(),
	/** Additions to the lists of docs/text-serialisers.md; an entry with the same name replaces ours. */
	categories: z.strictObject({ tables: CategoryList, prefixes: CategoryList }).prefault({}),
});
export type SerialiserOptions = z.output<typeof SerialiserOptions>;
export type SerialiserOptionsInput = z.input<typeof SerialiserOptions>;

/** What part of a record is written. */
export interface TextRange {
	/** Events at or before it are written (MEDS: prediction_time is inclusive); absent: all. */
	readonly indexDate?: Microseconds | undefined;
	/** Events at or after it are written; demographics always. */
	readonly start?: Microseconds | undefined;
	/** Keeps the newest whole days that fit. */
	readonly window?: TextWindow | undefined;
}

/** A text and where every line of it came from. */
export interface SerialisedText {
	readonly text: string;
	readonly lines: readonly TextLine[];
	/** Demographics first, then days from old to new, or bins from new to old. */
	readonly blocks: readonly TextBlock[];
	readonly counts: TextCounts;
	/** False when the newest moment with the demographics is larger than the window; both are written all the same. */
	readonly fits: boolean;
}

/** Events of one patient, sorted and sorted out. */
interface PreparedEvents {
	/** Demographics and static events. */
	readonly head: readonly PlacedEvent[];
	/** The rest, in order of (time, table). */
	readonly timeline: readonly PlacedEvent[];
	/** (timeline,) */
	readonly days: Int32Array;
}

/** A stretch of the timeline that becomes a block. */
interface Stretch {
	readonly kind: 'day' | 'bin';
	readonly label: string;
	readonly from: number;
	readonly until: number;
}

/**
 * Writes patients as text. Made once for a data set: it remembers the categories of the codes it has seen.
 *
 * Equal options and events give equal text. The order of events at one time follows their tables, then the caller's order.
 */
export class Serialiser {
	readonly options: SerialiserOptions;
	/** What became of all events so far. */
	readonly totals: TextCounts = emptyTextCounts();
	readonly #categories: CategoryMap;
	readonly #style: LineStyle;
	readonly #format: TextFormat;

	/**
	 * @param lifeCodes - Birth and death of the data set.
	 * @throws {ConfigError} Lists every violation; an unknown option is one.
	 */
	constructor(options: SerialiserOptionsInput = {}, lifeCodes = new LifeCodes()) {
		this.options = parseConfig('serialiser', SerialiserOptions, options);
		const { label, valuesPerLine, birthLines, numbers, significantDigits } = this.options;
		const number = numbers === 'two-decimal' ? twoDecimal : (value: number) => significant(value, significantDigits);
		this.#style = { label, valuesPerLine, birthLines, number, isBirth: (code) => lifeCodes.isBirth(code) };
		this.#categories = new CategoryMap(this.options.categories, lifeCodes);
		this.#format = this.options.format === 'tagged' ? tagged : byDay;
	}

	/**
	 * Writes one patient.
	 *
	 * @param events - Of one patient, in any order.
	 * @throws {DataError} For an event whose value or time would be lost. {ConfigError} For a range that cannot be.
	 */
	serialise(events: readonly TextEvent[], range: TextRange = {}): SerialisedText {
		checkRange(range);
		const counts = emptyTextCounts();
		const prepared = this.#prepare(events, range, counts);
		const stretches = this.#stretches(prepared, range.indexDate, counts);
		const head: DraftBlock[] = [];
		if (prepared.head.length > 0) {
			const lines = codeLines(prepared.head, 0, prepared.head.length, this.#style);
			head.push(draftBlock('demographics', undefined, lines, this.#format));
		}

		const drafts = new Map<string, DraftBlock>();
		const draft = ({ kind, label, from, until }: Stretch): DraftBlock => {
			const key = `${from} ${until}`;
			let block = drafts.get(key);
			if (block === undefined) {
				block = draftBlock(kind, label, codeLines(prepared.timeline, from, until, this.#style), this.#format);
				drafts.set(key, block);
			}
			return block;
		};
		const blocksFrom = (first: number): DraftBlock[] => {
			const kept = stretches.filter(({ until }) => until > first);
			const blocks = kept.map((stretch) => draft(stretch.from >= first ? stretch : { ...stretch, from: first }));
			if (this.options.timeBins !== undefined) blocks.reverse();
			return [...head, ...blocks];
		};
		const { window } = range;
		const choice =
			window === undefined
				? { from: 0, fits: true }
				: newestThatFit(windowStarts(prepared, stretches), window, (from) => joinBlocks(blocksFrom(from)));

		const blocks = blocksFrom(choice.from);
		for (const { from, until } of stretches) {
			counts.dropped['outside-window'] += Math.max(0, Math.min(until, choice.from) - from);
		}
		for (const block of blocks) {
			counts.written += block.written;
			counts.dropped['older-value'] += block.olderValues;
			counts.mixedUnits += block.mixedUnits;
		}
		addTextCounts(this.totals, counts);
		return { ...placeBlocks(blocks), counts, fits: choice.fits };
	}

	#prepare(events: readonly TextEvent[], { indexDate, start }: TextRange, counts: TextCounts): PreparedEvents {
		const placed: PlacedEvent[] = [];
		let sorted = true;
		for (let index = 0; index < events.length; index++) {
			const event = events[index]!;
			checkTextEvent(event, index);
			counts.events++;
			if (indexDate !== undefined && event.time !== null && event.time > indexDate) {
				counts.dropped['after-index-date']++;
				continue;
			}
			const category = this.#category(event, counts);
			if (category === undefined) {
				counts.dropped['no-category']++;
				continue;
			}
			if (start !== undefined && event.time !== null && event.time < start && category !== 'demographics') {
				counts.dropped['before-start']++;
				continue;
			}
			counts.categories[category]++;
			if (isText(event.table)) counts.fromTable++;
			else counts.fromCode++;
			const last = placed.at(-1);
			if (last !== undefined && byTimeAndTable(last.event, event) > 0) sorted = false;
			placed.push({ event, index, category });
		}
		if (!sorted) placed.sort((a, b) => byTimeAndTable(a.event, b.event));
		const isHead = ({ event, category }: PlacedEvent) => event.time === null || category === 'demographics';
		const timeline = placed.filter((one) => !isHead(one));
		return { head: placed.filter(isHead), timeline, days: daysOf(timeline) };
	}

	#category({ code, table }: TextEvent, counts: TextCounts): Category | undefined {
		if (isText(table)) {
			const category = this.#categories.ofTable(table) ?? this.#categories.ofLife(code);
			if (category === undefined) countOne(counts.unmappedTables, table);
			return category;
		}
		const category = this.#categories.ofCode(code);
		if (category === undefined) countOne(counts.unmappedCodes, code);
		return category;
	}

	/** Days or bins with events, from old to new. */
	#stretches(
		{ timeline, days }: PreparedEvents,
		indexDate: Microseconds | undefined,
		counts: TextCounts,
	): readonly Stretch[] {
		const stretches: Stretch[] = [];
		const { timeBins } = this.options;
		if (timeBins === undefined) {
			for (let from = 0; from < timeline.length; ) {
				let until = from + 1;
				while (until < timeline.length && days[until] === days[from]) until++;
				stretches.push({ kind: 'day', label: `[${isoDate(days[from]!)}]`, from, until });
				from = until;
			}
			return stretches;
		}
		let place = 0;
		for (const { after, until: end, label } of datedBins(timeBins, indexDate)) {
			while (place < timeline.length && timeline[place]!.event.time! <= after) {
				counts.dropped['outside-bins']++;
				place++;
			}
			const from = place;
			while (place < timeline.length && timeline[place]!.event.time! <= end) place++;
			if (place > from) stretches.push({ kind: 'bin', label: this.#format.binLabel(label), from, until: place });
		}
		counts.dropped['outside-bins'] += timeline.length - place;
		return stretches;
	}
}

function checkRange({ indexDate, start, window }: TextRange): void {
	if (start !== undefined && indexDate !== undefined && start > indexDate) {
		throw new ConfigError(
			`[text] start must not be later than indexDate ${indexDate} but is ${start}; both count microseconds`,
		);
	}
	if (window !== undefined && !(window.budget > 0)) {
		throw new ConfigError(`[text] window.budget must be positive but is ${window.budget}`);
	}
}

/** (timeline,) calendar days; events of one time share the division. */
function daysOf(timeline: readonly PlacedEvent[]): Int32Array {
	const days = new Int32Array(timeline.length);
	let dayEnd: bigint | undefined;
	let day: EpochDay = 0;
	for (let i = 0; i < timeline.length; i++) {
		const time = timeline[i]!.event.time!;
		// Times ascend, so a time before the end of the day is on it.
		if (dayEnd === undefined || time >= dayEnd) {
			day = dayOf(time);
			dayEnd = BigInt(day + 1) * microsecondsPerDay;
		}
		days[i] = day;
	}
	return days;
}

/** Where a shorter text may begin; events outside the bins are no place to begin. */
function windowStarts({ timeline, days }: PreparedEvents, stretches: readonly Stretch[]) {
	const dayStarts: number[] = [];
	const moments: number[] = [];
	let newestDay: number | undefined;
	for (const { from, until } of stretches) {
		for (let i = from; i < until; i++) {
			if (days[i] !== newestDay) {
				newestDay = days[i]!;
				dayStarts.push(i);
				moments.length = 0;
			}
			if (moments.length === 0 || timeline[i]!.event.time !== timeline[i - 1]!.event.time) moments.push(i);
		}
	}
	return { days: dayStarts, momentsOfNewestDay: moments };
}

/** Static events first; rows without a table last. */
function byTimeAndTable(a: TextEvent, b: TextEvent): number {
	if (a.time !== b.time) {
		if (a.time === null || b.time === null) return a.time === null ? -1 : 1;
		return a.time < b.time ? -1 : 1;
	}
	if (a.table === b.table) return 0;
	if (!isText(a.table) || !isText(b.table)) return Number(!isText(a.table)) - Number(!isText(b.table));
	return a.table < b.table ? -1 : Number(a.table > b.table);
}

function isText(text: string | null | undefined): text is string {
	return text !== undefined && text !== null && text !== '';
}
