import type { ErrorDescription } from '../errors.js';
import type { CohortRequest, ShardSummary } from './shard.js';

/** What all threads share: the next shard to take, and whether to stop. */
export const shared = { nextShard: 0, stop: 1, length: 2 } as const;

export interface WorkerInput {
	readonly request: CohortRequest;
	readonly control: Int32Array<SharedArrayBuffer>;
}

export type WorkerMessage =
	| { readonly kind: 'progress'; readonly patients: number }
	| { readonly kind: 'shard'; readonly summary: ShardSummary }
	| { readonly kind: 'failed'; readonly error: ErrorDescription };
