import { dayOf, isoDate } from './calendar.js';
import { type Category, categories, unitOfCode } from './categories.js';
import type { TextEvent } from './text-event.js';

/** How a line is written. */
export interface LineStyle {
	/** `description` falls back to the code where there is none. */
	readonly label: 'description' | 'code';
	/** The newest values that a line holds. */
	readonly valuesPerLine: number;
	/** Which codes with "birth" in their name print `Birth: <date>`. */
	readonly birthLines: 'demographics' | 'any-code';
	readonly number: (value: number) => string;
	/** Whether a code is the birth of the patient, whatever its name. */
	readonly isBirth: (code: string) => boolean;
}

/** An event with its category and its place in the caller's array. */
export interface PlacedEvent {
	readonly event: TextEvent;
	readonly index: number;
	readonly category: Category;
}

/** A line and what it came from. */
export interface CodeLine {
	readonly text: string;
	readonly category: Category;
	/** Ascending in (time, table). */
	readonly events: readonly PlacedEvent[];
}

export interface CodeLines {
	/** In the order of the categories, within one in the order in which the codes were first seen. */
	readonly lines: readonly CodeLine[];
	/** Events whose value newer ones took the place of. */
	readonly olderValues: number;
	readonly mixedUnits: number;
}

interface CodeGroup {
	readonly all: PlacedEvent[];
	/** Texts of the values with the places of their events in `all`. */
	readonly valued: number[];
}

/**
 * One line per category and code: `code (unit): v1, v2` with the newest values in the order of time, or `code` without
 * values. Repeated lines become one (paper.md 1.5 rules 5 to 7).
 *
 * @param events - Of one block, sorted by (time, table), from `from` to before `until`.
 */
export function codeLines(events: readonly PlacedEvent[], from: number, until: number, style: LineStyle): CodeLines {
	const groups = new Map<Category, Map<string, CodeGroup>>();
	for (let i = from; i < until; i++) {
		const placed = events[i]!;
		const { event, category } = placed;
		let byCode = groups.get(category);
		if (byCode === undefined) {
			byCode = new Map();
			groups.set(category, byCode);
		}
		let group = byCode.get(event.code);
		if (group === undefined) {
			group = { all: [], valued: [] };
			byCode.set(event.code, group);
		}
		if (hasValue(event)) group.valued.push(group.all.length);
		group.all.push(placed);
	}
	const lines: CodeLine[] = [];
	let olderValues = 0;
	let mixedUnits = 0;
	for (const category of categories) {
		const byText = new Map<string, CodeLine>();
		for (const [code, group] of groups.get(category) ?? []) {
			const first = group.all[0]!.event;
			if (isBirth(first, category, style)) {
				addLine(byText, { text: `Birth: ${isoDate(dayOf(first.time!))}`, category, events: group.all });
				continue;
			}
			const described = style.label === 'description' && isText(first.description);
			const label = described ? first.description! : code;
			const shown = group.valued.slice(-style.valuesPerLine);
			if (shown.length === 0) {
				addLine(byText, { text: label, category, events: group.all });
				continue;
			}
			const unitOf = ({ unit }: TextEvent) => (isText(unit) ? unit : described ? unitOfCode(code) : undefined);
			const valued = shown.map((place) => group.all[place]!.event);
			const unit = unitOf(valued.at(-1)!);
			if (valued.some((event) => unitOf(event) !== unit)) mixedUnits++;
			const values = valued.map((event) => valueText(event, style)).join(', ');
			const text = unit === undefined ? `${label}: ${values}` : `${label} (${unit}): ${values}`;
			const older = new Set(group.valued.slice(0, -shown.length));
			olderValues += older.size;
			const kept = older.size === 0 ? group.all : group.all.filter((_, place) => !older.has(place));
			addLine(byText, { text, category, events: kept });
		}
		lines.push(...byText.values());
	}
	return { lines, olderValues, mixedUnits };
}

/** Adds a line, or its events to the same line that is already there. */
function addLine(lines: Map<string, CodeLine>, line: CodeLine): void {
	const same = lines.get(line.text);
	if (same === undefined) lines.set(line.text, line);
	else lines.set(line.text, { ...same, events: [...same.events, ...line.events].sort(byTime) });
}

function byTime(a: PlacedEvent, b: PlacedEvent): number {
	const [s, t] = [a.event.time, b.event.time];
	if (s === t) return 0;
	if (s === null || t === null) return s === null ? -1 : 1;
	return s < t ? -1 : 1;
}

function isBirth(event: TextEvent, category: Category, style: LineStyle): boolean {
	if (event.time === null) return false;
	if (style.isBirth(event.code)) return true;
	if (category !== 'demographics' && style.birthLines === 'demographics') return false;
	return /birth/i.test(event.code) || (style.label === 'description' && /birth/i.test(event.description ?? ''));
}

function isText(text: string | null | undefined): text is string {
	return text !== undefined && text !== null && text !== '';
}

function hasValue({ numericValue, textValue }: TextEvent): boolean {
	return (numericValue !== undefined && numericValue !== null && Number.isFinite(numericValue)) || isText(textValue);
}

/** The number, else the text. */
function valueText({ numericValue, textValue }: TextEvent, style: LineStyle): string {
	if (numericValue !== undefined && numericValue !== null && Number.isFinite(numericValue))
		return style.number(numericValue);
	return textValue ?? '';
}
