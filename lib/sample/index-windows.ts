import { setImmediate } from 'node:timers/promises';
import { z } from 'zod';
import { parseConfig, positiveInteger } from '../config.js';
import type { TokenVocabulary } from '../tokenizer/token-vocabulary.js';
import type { IndexDate, Microseconds, PackedBatch, Split, Timeline, TokenCount } from '../types.js';
import { firstFit, pack } from './packing.js';
import { contextTokens, visibleAt } from './window.js';

/** Timelines of one split, such as those of a token store. */
export interface TimelineSource {
	indexOf(subjectId: bigint): Promise<number | undefined>;
	timeline(index: number): Promise<Timeline>;
}

/** What contexts are read from: a token store, or one of which something is hidden. */
export interface TimelineStore {
	readonly vocabulary: TokenVocabulary;
	split(name: Split): TimelineSource;
}

export interface IndexBatch {
	readonly batch: PackedBatch;
	/** (states,) the row of the pack behind each context; ascending. */
	readonly ends: Int32Array;
	/** (states,) the index dates that have this context, by their place in the list. */
	readonly rows: readonly (readonly number[])[];
}

/** What became of index dates and of what their day holds, so that nothing is left out unseen. */
export interface ContextCounts {
	/** Index dates without any token: the subject is in none of the splits, or nothing is known yet. */
	withoutTokens: number;
	/** Index dates in whose own day something became known later. */
	withLaterRuns: number;
	/** How much that was: tokens of one time each, or lines of a text. */
	laterRuns: number;
	/** Sequences that go through the encoder: one serves every index date whose context it begins with. */
	passes: number;
	/** Tokens of these sequences. */
	passTokens: number;
	/** Tokens of all contexts: so many would go through the encoder with one pass for each index date. */
	contextTokens: number;
}

export function noContexts(): ContextCounts {
	return { withoutTokens: 0, withLaterRuns: 0, laterRuns: 0, passes: 0, passTokens: 0, contextTokens: 0 };
}

const Budgets = z.object({ contextTokens: positiveInteger, tokensPerBatch: positiveInteger });
// Sequences that are read before they are packed: enough to fill several batches well.
const sequencesPerGroup = 256;
// The event loop waits for no more contexts than these.
const contextsAtATime = 64;

/** A context, and the index dates whose contexts are its prefixes. */
interface SharedContext {
	tokens: Int32Array;
	/** Index dates by the length of their context. */
	readonly rows: Map<number, number[]>;
}

/**
 * Contexts at index dates, packed: nothing later than the prediction time is in them. Of a patient's contexts in the order of
 * time, each that begins with the one before stands in for it: a causal encoder has the states of both. Contexts stop
 * beginning alike when the record outgrows the window, and the oldest day falls out. An index date whose subject is in none
 * of the splits, or that lies before every event and has no demographics, is counted in `withoutTokens`.
 */
export async function* indexBatches(
	splits: readonly TimelineSource[],
	vocabulary: TokenVocabulary,
	indexDates: readonly IndexDate[],
	options: { readonly contextTokens: TokenCount; readonly tokensPerBatch: TokenCount; readonly counts: ContextCounts },
): AsyncGenerator<IndexBatch> {
	const { contextTokens: budget } = parseConfig('embed', Budgets, options);
	const { counts } = options;
	const maxTokens = Math.max(options.tokensPerBatch, budget);
	const group: SharedContext[] = [];
	let timeline: Timeline | undefined;
	let subject: bigint | undefined;
	let newest: SharedContext | undefined;
	for (const [place, row] of bySubjectAndTime(indexDates).entries()) {
		if (place % contextsAtATime === 0) await setImmediate();
		const { subjectId, predictionTime } = indexDates[row]!;
		if (subject !== subjectId) {
			subject = subjectId;
			timeline = await timelineOf(splits, subjectId);
			newest = undefined;
		}
		const tokens = timeline === undefined ? none : contextOf(timeline, vocabulary, predictionTime, budget, counts);
		if (tokens.length === 0) {
			counts.withoutTokens++;
			continue;
		}
		counts.contextTokens += tokens.length;
		if (newest !== undefined && beginsWith(tokens, newest.tokens)) newest.tokens = tokens;
		else {
			if (group.length === sequencesPerGroup) yield* packed(group.splice(0), maxTokens, counts);
			newest = { tokens, rows: new Map() };
			group.push(newest);
		}
		const alike = newest.rows.get(tokens.length);
		if (alike === undefined) newest.rows.set(tokens.length, [row]);
		else alike.push(row);
	}
	yield* packed(group, maxTokens, counts);
}

const none = new Int32Array(0);

/** Places of index dates, one subject after another, each in the order of time. */
function bySubjectAndTime(indexDates: readonly IndexDate[]): number[] {
	return [...indexDates.keys()].sort((a, b) => {
		const [one, other] = [indexDates[a]!, indexDates[b]!];
		if (one.subjectId !== other.subjectId) return one.subjectId < other.subjectId ? -1 : 1;
		if (one.predictionTime !== other.predictionTime) return one.predictionTime < other.predictionTime ? -1 : 1;
		return a - b;
	});
}

function contextOf(
	timeline: Timeline,
	vocabulary: TokenVocabulary,
	predictionTime: Microseconds,
	budget: TokenCount,
	counts: ContextCounts,
): Int32Array {
	const visible = visibleAt(timeline, predictionTime);
	if (visible.runsNotYetKnown > 0) {
		counts.withLaterRuns++;
		counts.laterRuns += visible.runsNotYetKnown;
	}
	return contextTokens(timeline, vocabulary, visible, budget);
}

function beginsWith(tokens: Int32Array, start: Int32Array): boolean {
	return tokens.length >= start.length && start.every((token, i) => token === tokens[i]);
}

function* packed(contexts: readonly SharedContext[], maxTokens: TokenCount, counts: ContextCounts) {
	const lengths = contexts.map(({ tokens }) => tokens.length);
	for (const members of firstFit(lengths, maxTokens)) {
		const batch = pack(members.map((i) => contexts[i]!.tokens));
		const states = members.flatMap((i, sequence) =>
			[...contexts[i]!.rows]
				.sort(([one], [other]) => one - other)
				.map(([length, rows]) => ({ end: batch.cuSeqlens[sequence]! + length, rows })),
		);
		counts.passes += members.length;
		counts.passTokens += batch.tokens.length;
		yield { batch, ends: Int32Array.from(states, ({ end }) => end), rows: states.map(({ rows }) => rows) };
	}
}

/** A subject's timeline, in whichever split it is. */
export async function timelineOf(splits: readonly TimelineSource[], subjectId: bigint): Promise<Timeline | undefined> {
	for (const split of splits) {
		const place = await split.indexOf(subjectId);
		if (place !== undefined) return split.timeline(place);
	}
	return undefined;
}
