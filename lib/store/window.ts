import type { Vocabulary } from '../tokenizer/vocabulary.js';
import type { EpochDay, Microseconds, Timeline, TokenCount } from '../types.js';

/** Number of leading entries of an ascending array that satisfy a predicate. */
function countWhile(length: number, holds: (index: number) => boolean): number {
	let low = 0;
	let high = length;
	while (low < high) {
		const middle = (low + high) >> 1;
		if (holds(middle)) low = middle + 1;
		else high = middle;
	}
	return low;
}

/** Token index behind the last token at or before a time: MEDS allows data at prediction_time itself. */
export function tokensUntil(timeline: Timeline, predictionTime: Microseconds): number {
	return timeline.timeOffsets[countWhile(timeline.times.length, (i) => timeline.times[i]! <= predictionTime)]!;
}

/**
 * Demographics, age, and as many whole days before token `end` as the budget holds; the newest are kept. A single day
 * that is too long by itself keeps its newest tokens.
 *
 * @param end - Token index of the timeline behind the last token that may be seen.
 * @returns (tokens,) at most `budget` long.
 */
export function contextTokens(timeline: Timeline, vocabulary: Vocabulary, end: number, budget: TokenCount): Int32Array {
	const lastDay = countWhile(timeline.days.length, (i) => timeline.dayOffsets[i]! < end) - 1;
	const fixed = timeline.staticTokens.subarray(0, Math.max(0, budget - 2));
	// One place is kept for the age token, which depends on the first day.
	const room = Math.max(1, budget - fixed.length - 1);
	let first = lastDay;
	while (first > 0 && end - timeline.dayOffsets[first - 1]! <= room) first--;
	const start = lastDay < 0 ? end : Math.max(timeline.dayOffsets[first]!, end - room);
	const age = lastDay < 0 ? undefined : vocabulary.ageToken(timeline.birthDay, timeline.days[first]!);
	const head = age === undefined ? [...fixed] : [...fixed, age];
	const result = new Int32Array(head.length + end - start);
	result.set(head);
	result.set(timeline.tokens.subarray(start, end), head.length);
	return result;
}

export interface TrainingWindow {
	readonly tokens: Int32Array;
	/** Leading tokens that are context. */
	readonly contextLength: number;
	/** (future days + 1,) where each future day starts in `tokens`; the last entry is tokens.length. */
	readonly futureDays: Int32Array;
	/** (future days,) calendar day of each. */
	readonly futureDates: Int32Array;
	/** Calendar day of the last context event. */
	readonly contextDate: EpochDay;
}

/**
 * Context before a day boundary and future after it.
 *
 * @param cutDay - Index in `timeline.days` of the first future day, from 1.
 * @returns The future holds as many whole days as fit; a first day that is too long by itself is cut at its end.
 */
export function trainingWindow(
	timeline: Timeline,
	vocabulary: Vocabulary,
	cutDay: number,
	contextBudget: TokenCount,
	futureBudget: TokenCount,
): TrainingWindow {
	const cut = timeline.dayOffsets[cutDay]!;
	const context = contextTokens(timeline, vocabulary, cut, contextBudget);
	let last = cutDay + 1;
	while (last < timeline.days.length && timeline.dayOffsets[last + 1]! - cut <= futureBudget) last++;
	const end = Math.min(timeline.dayOffsets[last]!, cut + futureBudget);
	const tokens = new Int32Array(context.length + end - cut);
	tokens.set(context);
	tokens.set(timeline.tokens.subarray(cut, end), context.length);
	const starts = timeline.dayOffsets.subarray(cutDay, last + 1);
	const futureDays = Int32Array.from(starts, (offset) => Math.min(offset - cut + context.length, tokens.length));
	return {
		tokens,
		contextLength: context.length,
		futureDays,
		futureDates: timeline.days.slice(cutDay, last),
		contextDate: timeline.days[cutDay - 1]!,
	};
}
