import type { EpochDay, Microseconds } from '../types.js';
import { dayOf } from './calendar.js';
import type { Category } from './categories.js';
import type { CodeLine, CodeLines } from './code-lines.js';
import type { TextFormat } from './serialise-by-day.js';

/** A line of a text and where it came from. A line holds line breaks of its own where a text value does. */
export interface TextLine {
	/** UTF-16 offsets in the text, end exclusive. */
	readonly start: number;
	readonly end: number;
	/** `label` is a date or the dates of a bin, `tag` an opening or closing tag. */
	readonly kind: 'event' | 'label' | 'tag';
	readonly category: Category | null;
	/** Newest time of its events, or of its block for a label or tag; null when all are static. */
	readonly time: Microseconds | null;
	/** Calendar day of `time`. */
	readonly day: EpochDay | null;
	/** Places in the caller's array, ascending in time; none for a label or tag. */
	readonly events: readonly number[];
}

/** A stretch of a text: the demographics, a day or a time bin. */
export interface TextBlock {
	readonly start: number;
	readonly end: number;
	readonly kind: 'demographics' | 'day' | 'bin';
	/** Newest time and its day; null when all events are static. */
	readonly time: Microseconds | null;
	readonly day: EpochDay | null;
}

/** A block that has its text but not yet its place. */
export interface DraftBlock {
	readonly kind: TextBlock['kind'];
	readonly text: string;
	/** Offsets within the block. */
	readonly lines: readonly TextLine[];
	readonly written: number;
	readonly olderValues: number;
	readonly mixedUnits: number;
	readonly time: Microseconds | null;
	readonly day: EpochDay | null;
}

/** Writes the lines of a block one below the other, with the marks of the format. */
export function draftBlock(
	kind: TextBlock['kind'],
	label: string | undefined,
	codes: CodeLines,
	format: TextFormat,
): DraftBlock {
	const texts: string[] = [];
	const lines: TextLine[] = [];
	const times = codes.lines.map(newestTime);
	const time = times.reduce((newest, t) => (newest === null || (t !== null && t > newest) ? t : newest), null);
	const day = time === null ? null : dayOf(time);
	let offset = 0;
	let written = 0;
	const push = (text: string, line: Omit<TextLine, 'start' | 'end'>) => {
		texts.push(text);
		lines.push({ start: offset, end: offset + text.length, ...line });
		offset += text.length + 1;
	};
	const mark = (text: string, markKind: 'label' | 'tag', category: Category | null) =>
		push(text, { kind: markKind, category, time, day, events: [] });
	if (label !== undefined) mark(label, 'label', null);
	for (const [i, line] of codes.lines.entries()) {
		const { category } = line;
		const tags = format.tags(category);
		if (tags !== undefined && codes.lines[i - 1]?.category !== category) mark(tags[0], 'tag', category);
		const lineTime = times[i]!;
		push(line.text, {
			kind: 'event',
			category,
			time: lineTime,
			day: lineTime === null ? null : kind === 'day' ? day : dayOf(lineTime),
			events: line.events.map(({ index }) => index),
		});
		written += line.events.length;
		if (tags !== undefined && codes.lines[i + 1]?.category !== category) mark(tags[1], 'tag', category);
	}
	const { olderValues, mixedUnits } = codes;
	return { kind, text: texts.join('\n'), lines, written, olderValues, mixedUnits, time, day };
}

function newestTime(line: CodeLine): Microseconds | null {
	return line.events.at(-1)!.event.time;
}

/** What comes before a block: a blank line, and before a day one more line break (paper.md 1.5 rules 4 and 7). */
function separator(blocks: readonly DraftBlock[], place: number): string {
	const { kind } = blocks[place]!;
	const before = blocks[place - 1]?.kind;
	if (before === undefined) return kind === 'day' ? '\n' : '';
	return kind === 'day' && before !== 'day' ? '\n\n\n' : '\n\n';
}

export function joinBlocks(blocks: readonly DraftBlock[]): string {
	return blocks.map((block, place) => separator(blocks, place) + block.text).join('');
}

/** Text with the places of its lines and blocks. */
export function placeBlocks(blocks: readonly DraftBlock[]): { text: string; lines: TextLine[]; blocks: TextBlock[] } {
	const lines: TextLine[] = [];
	const placed: TextBlock[] = [];
	let offset = 0;
	for (const [place, block] of blocks.entries()) {
		offset += separator(blocks, place).length;
		const { kind, time, day } = block;
		placed.push({ start: offset, end: offset + block.text.length, kind, time, day });
		for (const line of block.lines) lines.push({ ...line, start: line.start + offset, end: line.end + offset });
		offset += block.text.length;
	}
	return { text: joinBlocks(blocks), lines, blocks: placed };
}
