import type { Category } from './categories.js';

/** What differs between the two text formats: the marks around the lines of a block. */
export interface TextFormat {
	/** Heading of a time bin: its dates. */
	binLabel(dates: string): string;
	/** Lines before and after those of a category, or undefined for none. */
	tags(category: Category): readonly [string, string] | undefined;
}

/**
 * UT2, untagged by day: the order of lines is the only mark of a category (paper.md 1.5; the released serialiser of
 * February 2026, which the code release of May 2026 calls the text the model consumes).
 */
export const byDay: TextFormat = {
	binLabel: (dates) => dates,
	tags: () => undefined,
};
