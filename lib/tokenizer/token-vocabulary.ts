import type { EpochDay } from '../types.js';

/** What windows, sampler, model and training need to know of tokens, whichever way events became tokens. */
export interface TokenVocabulary {
	readonly kind: 'structured' | 'text';
	/** Rows of the embedding. */
	readonly size: number;
	/** Stands for a masked token; never a token of a record. Null when the embedding has no row to spare for it. */
	readonly maskTokenId: number | null;
	/** SHA-256: vocabularies with the same one give the same ids. */
	readonly fingerprint: string;
	/** Token behind the demographics of a window that begins on a day; undefined for none. */
	ageToken(birthDay: EpochDay | null, day: EpochDay): number | undefined;
}
