import type { TimelineColumns } from '../store/timeline-columns.js';
import type { Serialiser } from '../text/serialiser.js';
import type { TextCounts } from '../text/text-counts.js';
import type { TextEvent } from '../text/text-event.js';
import { nextCut } from '../tokenizer/line-cuts.js';
import { type EpochDay, type Microseconds, noTime } from '../types.js';
import { type SparseCounts, sparse } from './sparse-counts.js';

/** What stands behind the demographics and behind each day, so that tokens of days laid end to end are those of the text. @internal */
export const headSeparator = '\n\n\n';
/** @internal */
export const daySeparator = '\n\n';

/** Lines that are encoded together, and when all of them were known. */
interface Run {
	readonly start: number;
	end: number;
	time: Microseconds;
	readonly events: number[];
}

/** A day of a text with the runs of its lines. */
interface TextRuns {
	/** The serialised text with a separator behind its last block. */
	readonly text: string;
	readonly head: readonly Run[];
	readonly days: readonly { readonly day: EpochDay; readonly runs: readonly Run[] }[];
}

/**
 * Writes a patient as text and cuts it into runs: a line each, or several where the tokenizer allows no cut between them.
 *
 * A run is known from the time of the newest value it shows, or from the first event when it shows none: up to then the
 * line would have been another one, and from then on later events do not change it. Labels and tags are known with the
 * first of their lines.
 *
 * @internal
 */
export function textRuns(serialiser: Serialiser, events: readonly TextEvent[]): TextRuns {
	const { text: body, lines, blocks } = serialiser.serialise(events);
	const hasDays = blocks.some(({ kind }) => kind === 'day');
	const text = body + (hasDays ? daySeparator : blocks.length > 0 ? headSeparator : '');
	const known = lines.map((line) => (line.kind === 'event' ? knownAt(events, line.events) : undefined));
	const head: Run[] = [];
	const days: { day: EpochDay; runs: Run[] }[] = [];
	let place = 0;
	for (const [index, block] of blocks.entries()) {
		const first = place;
		while (place < lines.length && lines[place]!.start < block.end) place++;
		// A separator belongs to the block before it; that of a text without demographics to an empty head.
		const end = blocks[index + 1]?.start ?? text.length;
		const start = index === 0 && block.kind !== 'day' ? 0 : block.start;
		if (index === 0 && start > 0) head.push({ start: 0, end: start, time: noTime, events: [] });
		const runs: Run[] = [];
		for (let i = first; i < place; i++) {
			const line = lines[i]!;
			const time = known[i] ?? firstKnown(lines, known, i, first, place);
			const from = i === first ? start : line.start;
			const until = i + 1 < place ? lines[i + 1]!.start : end;
			const last = runs.at(-1);
			if (last === undefined || nextCut(text, from - 1) === from) {
				runs.push({ start: from, end: until, time, events: [...line.events] });
			} else {
				last.end = until;
				if (time > last.time) last.time = time;
				last.events.push(...line.events);
			}
		}
		if (block.kind === 'day') days.push({ day: block.day!, runs });
		else head.push(...runs);
	}
	return { text, head, days };
}

/** Time of the newest event with a value, else that of the first event. */
function knownAt(events: readonly TextEvent[], places: readonly number[]): Microseconds {
	let newest: Microseconds | undefined;
	for (const place of places) {
		const event = events[place]!;
		const time = event.time ?? noTime;
		if (hasValue(event) && (newest === undefined || time > newest)) newest = time;
	}
	return newest ?? events[places[0]!]!.time ?? noTime;
}

function hasValue({ numericValue, textValue }: TextEvent): boolean {
	const number = numericValue !== undefined && numericValue !== null && Number.isFinite(numericValue);
	return number || (textValue !== undefined && textValue !== null && textValue !== '');
}

/** When the first of the lines that a label or tag stands for was known. */
function firstKnown(
	lines: ReturnType<Serialiser['serialise']>['lines'],
	known: readonly (Microseconds | undefined)[],
	mark: number,
	from: number,
	until: number,
): Microseconds {
	const { kind, category } = lines[mark]!;
	let first: Microseconds | undefined;
	for (let i = from; i < until; i++) {
		const time = known[i];
		if (time === undefined || (kind === 'tag' && lines[i]!.category !== category)) continue;
		if (first === undefined || time < first) first = time;
	}
	return first ?? noTime;
}

/** Counts of a part as JSON: those of the serialiser, and events by code. */
export interface TextPartCounts extends Omit<TextCounts, 'unmappedCodes' | 'unmappedTables'> {
	readonly kind: 'text';
	readonly unmappedCodes: readonly (readonly [string, number])[];
	readonly unmappedTables: readonly (readonly [string, number])[];
	readonly byCode: SparseCounts;
	/** Special tokens of the tokenizer that are written in the records. */
	readonly specialTokens: number;
}

/** What is asked of a tokenizer. */
export interface TextEncoder {
	encode(text: string): Int32Array;
	/** How many special tokens are written in a text. */
	specialTokensIn(text: string): number;
}

/** Turns patients into tokens of their text. */
export class TextBuilder {
	readonly #serialiser: Serialiser;
	readonly #encoder: TextEncoder;
	readonly #byCode: Float64Array;
	#specialTokens = 0;

	/** @param codes - How many there are. */
	constructor(serialiser: Serialiser, encoder: TextEncoder, codes: number) {
		this.#serialiser = serialiser;
		this.#encoder = encoder;
		this.#byCode = new Float64Array(codes);
	}

	countCode(code: number): void {
		this.#byCode[code]!++;
	}

	/** What became of all events so far. */
	counts(): TextPartCounts {
		const { unmappedCodes, unmappedTables, ...rest } = this.#serialiser.totals;
		return {
			kind: 'text',
			...rest,
			unmappedCodes: sorted(unmappedCodes),
			unmappedTables: sorted(unmappedTables),
			byCode: sparse(this.#byCode),
			specialTokens: this.#specialTokens,
		};
	}

	/** @param events - Of one patient, in the order of the file. */
	patient(
		columns: TimelineColumns,
		events: readonly TextEvent[],
		subjectLow: number,
		subjectHigh: number,
		birthDay: EpochDay | null,
	): void {
		const { text, head, days } = textRuns(this.#serialiser, events);
		this.#specialTokens += this.#encoder.specialTokensIn(text);
		for (const { start, end, time } of head) {
			columns.staticOffsets.values.push(columns.staticTokens.length);
			pushTime(columns.staticTimes.values, time);
			columns.staticTokens.values.pushAll(this.#encoder.encode(text.slice(start, end)));
		}
		for (const { day, runs } of days) {
			columns.days.values.push(day);
			columns.dayOffsets.values.push(columns.tokens.length);
			for (const run of runs) {
				pushTime(columns.times.values, run.time);
				columns.timeOffsets.values.push(columns.tokens.length);
				columns.eventOffsets.values.push(columns.events.length);
				columns.events.values.pushAll(run.events);
				columns.tokens.values.pushAll(this.#encoder.encode(text.slice(run.start, run.end)));
			}
		}
		columns.endPatient(subjectLow, subjectHigh, birthDay, columns.events.length);
	}
}

function pushTime(times: { pushPair(low: number, high: number): void }, time: bigint): void {
	times.pushPair(Number(BigInt.asIntN(32, time)), Number(time >> 32n));
}

function sorted(counts: ReadonlyMap<string, number>): [string, number][] {
	return [...counts].sort(([a], [b]) => (a < b ? -1 : Number(a > b)));
}
