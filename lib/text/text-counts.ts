import { type Category, categories } from './categories.js';

/** Why an event is not in the text. */
const dropReasons = [
	/** Later than the index date. */
	'after-index-date',
	/** Earlier than the start that was asked for. */
	'before-start',
	/** Neither its table nor its code has a category. */
	'no-category',
	/** In no time bin. */
	'outside-bins',
	/** Older than what the window holds. */
	'outside-window',
	/** A value that newer ones of the same line took the place of. */
	'older-value',
] as const;
type DropReason = (typeof dropReasons)[number];

/** What became of the events, so that nothing is dropped unseen: `events` is `written` and all of `dropped`. */
export interface TextCounts {
	events: number;
	written: number;
	readonly dropped: Record<DropReason, number>;
	/** Events in the range of time that was asked for, by category. */
	readonly categories: Record<Category, number>;
	/** Of these, how many have their category from a table and how many from their code. */
	fromTable: number;
	fromCode: number;
	/** Codes without a table that no prefix matches, and tables that are not listed, with their events. */
	readonly unmappedCodes: Map<string, number>;
	readonly unmappedTables: Map<string, number>;
	/** Lines whose values have several units; the newest unit is the one that is written. */
	mixedUnits: number;
}

export function emptyTextCounts(): TextCounts {
	return {
		events: 0,
		written: 0,
		dropped: Object.fromEntries(dropReasons.map((reason) => [reason, 0])) as Record<DropReason, number>,
		categories: Object.fromEntries(categories.map((category) => [category, 0])) as Record<Category, number>,
		fromTable: 0,
		fromCode: 0,
		unmappedCodes: new Map(),
		unmappedTables: new Map(),
		mixedUnits: 0,
	};
}

/** Adds the counts of one text to a total. */
export function addTextCounts(total: TextCounts, counts: TextCounts): void {
	total.events += counts.events;
	total.written += counts.written;
	for (const reason of dropReasons) total.dropped[reason] += counts.dropped[reason];
	for (const category of categories) total.categories[category] += counts.categories[category];
	total.fromTable += counts.fromTable;
	total.fromCode += counts.fromCode;
	for (const [code, n] of counts.unmappedCodes) countOne(total.unmappedCodes, code, n);
	for (const [table, n] of counts.unmappedTables) countOne(total.unmappedTables, table, n);
	total.mixedUnits += counts.mixedUnits;
}

export function countOne(counts: Map<string, number>, name: string, n = 1): void {
	counts.set(name, (counts.get(name) ?? 0) + n);
}
