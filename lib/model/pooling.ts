import type { Pooling } from '../native.js';

export type { Pooling };

/**
 * How the states of a window become one: that of its newest token, the mean over its tokens, or a mean that weighs a token e
 * times less for every 96 tokens behind it, which tells the most of a patient's state now (docs/study.md).
 */
export const poolings = ['last', 'mean', 'recent'] as const satisfies readonly Pooling[];
