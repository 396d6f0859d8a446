import type { ErrorDescription } from '../errors.js';
import type { Split, TrainingBatch } from '../types.js';
import type { SamplerOptions } from './sampler.js';

/** What a sampler's thread is started with. */
export interface PrefetchRequest {
	/** Folder of the token store. */
	readonly directory: string;
	readonly split: Split;
	readonly options: SamplerOptions;
	/** Steps of the sampler. */
	readonly first: number;
	readonly last: number;
	/** Batches that may lie ready. */
	readonly ahead: number;
}

/** To the thread: how many more batches are wanted. */
export type PrefetchWish = number;

/** From the thread. */
export type PrefetchMessage =
	| { readonly kind: 'batch'; readonly batch: TrainingBatch }
	| { readonly kind: 'failed'; readonly error: ErrorDescription };
