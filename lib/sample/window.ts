import type { TokenVocabulary } from '../tokenizer/token-vocabulary.js';
import { type EpochDay, type Microseconds, microsecondsPerDay, type Timeline, type TokenCount } from '../types.js';

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

/** Demographics that were known at a time. */
export function demographicsAt(timeline: Timeline, until: Microseconds): Int32Array {
	const { staticTokens, staticTimes, staticOffsets } = timeline;
	if (staticTimes.every((time) => time <= until)) return staticTokens;
	const runs = [...staticTimes.keys()].filter((run) => staticTimes[run]! <= until);
	return joined(staticTokens, staticOffsets, runs);
}

/** What of a timeline is known at a time. */
interface Visible {
	/** Whole days. */
	readonly days: number;
	/** Runs of the day after them that were known. */
	readonly runs: readonly number[];
	/** How many of that day's were not. */
	readonly runsNotYetKnown: number;
	readonly until: Microseconds;
}

/** What is known at a prediction time: MEDS allows data at that time itself. */
export function visibleAt(timeline: Timeline, predictionTime: Microseconds): Visible {
	const { days, times } = timeline;
	const whole = countWhile(days.length, (i) => BigInt(days[i]! + 1) * microsecondsPerDay <= predictionTime);
	const isBegun = whole < days.length && BigInt(days[whole]!) * microsecondsPerDay <= predictionTime;
	const all = isBegun ? runsOfDay(timeline, whole) : [];
	const runs = all.filter((run) => times[run]! <= predictionTime);
	return { days: whole, runs, runsNotYetKnown: all.length - runs.length, until: predictionTime };
}

/** Calendar day of the newest event that is known at a prediction time; undefined before every event. */
export function newestDayAt(timeline: Timeline, predictionTime: Microseconds): EpochDay | undefined {
	const { days, runs } = visibleAt(timeline, predictionTime);
	return timeline.days[runs.length > 0 ? days : days - 1];
}

/** What is known before a day begins. */
function visibleBefore(timeline: Timeline, day: number): Visible {
	return { days: day, runs: [], runsNotYetKnown: 0, until: BigInt(timeline.days[day]!) * microsecondsPerDay - 1n };
}

/** Numbers of the runs of a day. */
function runsOfDay({ dayOffsets, timeOffsets, times }: Timeline, day: number): number[] {
	const from = countWhile(times.length, (run) => timeOffsets[run]! < dayOffsets[day]!);
	const until = countWhile(times.length, (run) => timeOffsets[run]! < dayOffsets[day + 1]!);
	return Array.from({ length: until - from }, (_, i) => from + i);
}

function joined(tokens: Int32Array, offsets: Int32Array, runs: readonly number[]): Int32Array {
	const length = runs.reduce((sum, run) => sum + offsets[run + 1]! - offsets[run]!, 0);
	const result = new Int32Array(length);
	let at = 0;
	for (const run of runs) {
		const part = tokens.subarray(offsets[run]!, offsets[run + 1]!);
		result.set(part, at);
		at += part.length;
	}
	return result;
}

/** Newest runs that fit, in the order in which they stand. When not even the newest fits it is kept all the same. */
function newestRuns({ times, timeOffsets }: Timeline, runs: readonly number[], room: TokenCount): readonly number[] {
	const newestFirst = [...runs].sort((a, b) => (times[a] === times[b] ? b - a : times[a]! > times[b]! ? -1 : 1));
	const kept: number[] = [];
	let size = 0;
	for (const run of newestFirst) {
		const length = timeOffsets[run + 1]! - timeOffsets[run]!;
		if (size + length > room) break;
		kept.push(run);
		size += length;
	}
	return kept.length === 0 ? newestFirst.slice(0, 1) : kept.sort((a, b) => a - b);
}

/** Context at a prediction time: nothing that became known later is in it. @internal */
export function contextAt(
	timeline: Timeline,
	vocabulary: TokenVocabulary,
	predictionTime: Microseconds,
	budget: TokenCount,
): Int32Array {
	return contextTokens(timeline, vocabulary, visibleAt(timeline, predictionTime), budget);
}

/** What of a record goes into a context. */
interface ContextParts {
	readonly fixed: Int32Array;
	/** Whole days: the first, and the one behind the last. */
	readonly first: number;
	readonly last: number;
	/** Runs of the day behind them. */
	readonly runs: readonly number[];
	readonly room: TokenCount;
}

function contextParts(timeline: Timeline, { days, runs, until }: Visible, budget: TokenCount): ContextParts {
	const { dayOffsets, timeOffsets } = timeline;
	const fixed = demographicsAt(timeline, until).subarray(0, Math.max(0, budget - 2));
	// One place is kept for the age token, which depends on the first day.
	const room = Math.max(1, budget - fixed.length - 1);
	const overlong = runs.length === 0 && days > 0 && dayOffsets[days]! - dayOffsets[days - 1]! > room;
	// The day of which not every run may be there, behind the whole ones.
	const last = overlong ? days - 1 : days;
	const lastRuns = overlong ? runsOfDay(timeline, last) : runs;
	const size = lastRuns.reduce((sum, run) => sum + timeOffsets[run + 1]! - timeOffsets[run]!, 0);
	let first = last;
	if (size > room) return { fixed, first, last, runs: newestRuns(timeline, lastRuns, room), room };
	while (first > 0 && size + dayOffsets[last]! - dayOffsets[first - 1]! <= room) first--;
	return { fixed, first, last, runs: lastRuns, room };
}

/**
 * Demographics, age, and as many whole days as the budget holds; the newest are kept. A single day that is too long by
 * itself keeps its newest runs, and of a run that is too long the last tokens: the newest is never left out.
 *
 * @returns (tokens,) at most `budget` long, from a budget of 2.
 */
export function contextTokens(
	timeline: Timeline,
	vocabulary: TokenVocabulary,
	visible: Visible,
	budget: TokenCount,
): Int32Array {
	const { dayOffsets } = timeline;
	const { fixed, first, last, runs, room } = contextParts(timeline, visible, budget);
	const newest = joined(timeline.tokens, timeline.timeOffsets, runs).slice(-room);
	const whole = timeline.tokens.subarray(dayOffsets[first]!, dayOffsets[last]!);
	const firstDay = first < last || runs.length > 0 ? timeline.days[first] : undefined;
	const age = firstDay === undefined ? undefined : vocabulary.ageToken(timeline.birthDay, firstDay);
	const head = age === undefined ? fixed : Int32Array.of(...fixed, age);
	const result = new Int32Array(head.length + whole.length + newest.length);
	result.set(head);
	result.set(whole, head.length);
	result.set(newest, head.length + whole.length);
	return result;
}

/**
 * From when on events are in the context at a prediction time, beside demographics; undefined when none is. Of a day that is
 * too long by itself, the time of the oldest run that is kept.
 */
export function contextStart(
	timeline: Timeline,
	predictionTime: Microseconds,
	budget: TokenCount,
): Microseconds | undefined {
	const { first, last, runs } = contextParts(timeline, visibleAt(timeline, predictionTime), budget);
	if (first < last) return BigInt(timeline.days[first]!) * microsecondsPerDay;
	const times = runs.map((run) => timeline.times[run]!);
	return times.sort((a, b) => (a < b ? -1 : 1))[0];
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
	vocabulary: TokenVocabulary,
	cutDay: number,
	contextBudget: TokenCount,
	futureBudget: TokenCount,
): TrainingWindow {
	const cut = timeline.dayOffsets[cutDay]!;
	const context = contextTokens(timeline, vocabulary, visibleBefore(timeline, cutDay), contextBudget);
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
