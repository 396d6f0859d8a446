import type { TextFormat } from './serialise-by-day.js';

/**
 * UT1, tagged: categories in `<tag>` ... `</tag>`, bins in `<timespan>` (paper.md 1.5; the released serialiser of November
 * 2025). Tags are ordinary text, not special tokens. Their names are those of the code (`<drugs>`), not of the prose
 * beside it (`<medications>`).
 */
export const tagged: TextFormat = {
	binLabel: (dates) => `<timespan>${dates}</timespan>`,
	tags: (category) => [`<${category}>`, `</${category}>`],
};
