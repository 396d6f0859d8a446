import type { LifeCodes } from '../data/life-codes.js';
import { CategoryMap } from '../text/categories.js';
import { ageTokens, gapTokens } from './time-gaps.js';
import { maskToken, unknownToken, type Vocabulary } from './vocabulary.js';

/**
 * What a structured token says: the bin of a value, an event's code (laboratory, procedure, visit ...), the time since the
 * moment before, a diagnosis, a drug, death; `other` is what stands for no event of its own (age, demographics, unknown).
 */
export const tokenKindNames = ['value', 'code', 'gap', 'diagnosis', 'drug', 'death', 'other'] as const;
export type TokenKind = (typeof tokenKindNames)[number];

/** The kind of each token of a structured vocabulary: the only place that decides it. @returns (vocabulary size,) */
export function tokenKinds(vocabulary: Vocabulary, lifeCodes: LifeCodes): readonly TokenKind[] {
	const categories = new CategoryMap(undefined, lifeCodes);
	const bins = new Set(vocabulary.binTokens);
	const gaps = new Set(gapTokens);
	const noEvent = new Set([unknownToken, maskToken, ...ageTokens]);
	return vocabulary.file.tokens.map((token, id) => {
		if (bins.has(id)) return 'value';
		if (gaps.has(token)) return 'gap';
		return noEvent.has(token) ? 'other' : kindOfCode(categories, token);
	});
}

function kindOfCode(categories: CategoryMap, code: string): TokenKind {
	switch (categories.ofCode(code)) {
		case 'death':
			return 'death';
		case 'conditions':
			return 'diagnosis';
		case 'drugs':
			return 'drug';
		case 'demographics':
			return 'other';
		default:
			return 'code';
	}
}
