import { hideCodes } from '../sample/hidden-codes.js';
import { timelineOf } from '../sample/index-windows.js';
import { contextStart } from '../sample/window.js';
import { openTokenStore } from '../store/token-store.js';
import type { IndexDateRow } from '../tasks/read.js';
import { type Microseconds, splits } from '../types.js';
import type { Baseline } from './baselines.js';
import { countFeatures } from './count-features.js';

/** Begins the names of these baselines; of several windows each has its number of tokens behind it. */
export const windowCountsName = 'counts-window';

/**
 * Code counts of exactly what an encoder saw, one baseline for each length of window: against the counts of the whole record it
 * tells what the window leaves out, against the encoder what it makes of its window.
 *
 * @param store - Token store of the states.
 * @param contextTokens - Tokens of the encoders' windows.
 */
export function windowBaselines(store: string, contextTokens: readonly number[]): Baseline[] {
	const budgets = [...new Set(contextTokens)].sort((a, b) => a - b);
	return budgets.map((budget) => ({
		about: {
			name: budgets.length === 1 ? windowCountsName : `${windowCountsName}-${budget}`,
			label: `Code counts, window of ${budget} tokens`,
			kind: 'counts',
			description: `the code counts of exactly the window of ${budget} tokens that the encoder saw, and age; logistic or ridge regression`,
		},
		features: async (input) => {
			const since = await windowStarts(store, input.indexDates, budget, input.hiddenCodes ?? []);
			return countFeatures({ ...input, since });
		},
	}));
}

/** (index dates,) from when on events are in the encoder's window; undefined where none is. */
async function windowStarts(
	directory: string,
	indexDates: readonly IndexDateRow[],
	budget: number,
	hiddenCodes: readonly string[],
): Promise<(Microseconds | undefined)[]> {
	await using store = await openTokenStore(directory);
	const seen = hideCodes(store, hiddenCodes);
	const sources = splits.map((split) => seen.split(split));
	const result: (Microseconds | undefined)[] = [];
	for (const { subjectId, predictionTime } of indexDates) {
		const timeline = await timelineOf(sources, subjectId);
		result.push(timeline === undefined ? undefined : contextStart(timeline, predictionTime, budget));
	}
	return result;
}
