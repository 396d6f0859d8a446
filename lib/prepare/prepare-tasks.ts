import type { EventPart, EventSource } from '../data/event-parts.js';
import type { LifeCodeOptions } from '../data/life-codes.js';
import type { SharedSplits } from '../data/subject-splits.js';
import type { SerialiserOptions } from '../text/serialiser.js';
import type { CodeStatisticsData, CodeStatisticsOptions } from '../tokenizer/code-statistics.js';
import type { SpecialTokens } from '../tokenizer/qwen-tokenizer.js';
import type { TokenizerFileName } from '../tokenizer/tokenizer-files.js';
import type { VocabularyFile } from '../tokenizer/vocabulary.js';

/** What every thread of `prepare` is started with. */
export interface PrepareThreadData {
	readonly source: EventSource;
	readonly splits: SharedSplits;
	/** Codes of birth and death beside the usual ones. */
	readonly lifeCodes: LifeCodeOptions;
	/** Folder of the unfinished store. */
	readonly folder: string;
}

/** How events become tokens. */
export type TokenisePlan =
	| { readonly kind: 'structured'; readonly vocabulary: VocabularyFile }
	| {
			readonly kind: 'text';
			readonly serialiser: SerialiserOptions;
			readonly specialTokens: SpecialTokens;
			/** Parquet with code and description, or null. */
			readonly descriptions: string | null;
			readonly tokenizer: {
				readonly directory: string;
				readonly contents: readonly (readonly [TokenizerFileName, SharedArrayBuffer])[];
			};
	  };

export type PrepareTask =
	| { readonly kind: 'begin-fit'; readonly options: CodeStatisticsOptions }
	| { readonly kind: 'fit'; readonly part: EventPart }
	| { readonly kind: 'end-fit' }
	| { readonly kind: 'begin-tokenise'; readonly plan: TokenisePlan }
	| { readonly kind: 'tokenise'; readonly number: number; readonly part: EventPart };

/** `end-fit` is answered with what the thread has counted. */
// biome-ignore lint/suspicious/noConfusingVoidType: the other tasks have no answer
export type PrepareAnswer = CodeStatisticsData | void;
