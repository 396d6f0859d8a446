import { RandomStream } from '../random.js';
import type { TokenStore } from '../store/token-store.js';
import type { Timeline, TokenCount } from '../types.js';
import { Bins } from './packing.js';
import type { PatientOrder } from './patient-order.js';
import { type TrainingWindow, trainingWindow } from './window.js';

/** Where patients come from: a split of a token store. */
export interface PatientSource {
	readonly size: number;
	timeline(index: number): Promise<Timeline>;
}

export interface PoolOptions {
	readonly contextTokens: TokenCount;
	readonly futureTokens: TokenCount;
	readonly tokensPerBatch: TokenCount;
	readonly seed: number;
	/** Batches that are packed together. */
	readonly batches: number;
}

/** A drawn window and whose it is. */
interface DrawnWindow extends TrainingWindow {
	readonly subjectId: bigint;
}

/** What became of the draws of a pool: drawn = used + unplaced. */
interface PoolCounts {
	/** Windows that were cut. */
	readonly drawn: number;
	/** Of these, cut again with smaller budgets to fill what was left open. */
	readonly shortened: number;
	/** Of these, in no batch: nothing of a window would have fitted. */
	readonly unplaced: number;
	/** Turns of patients with a single day, who cannot be cut. */
	readonly singleDay: number;
	/** Patients at whose turn the batches were full; they come again in the next epoch. */
	readonly passedOver: number;
}

export interface WindowPool {
	/** Windows of each batch, in order of their draw. */
	readonly batches: readonly (readonly DrawnWindow[])[];
	readonly counts: PoolCounts;
}

// Windows at full budgets are drawn up to this share of the pool's tokens: what is left open takes shortened ones, so that
// none has to be given up for want of room.
const naturalShare = 0.95;
// A gap below this share of a batch stays open: a window of a few tokens teaches little.
const openShare = 0.02;
// Turns a pool has, over those it needs on average: most of a pool's patients come once and few are passed over.
const spareTurns = 1.05;
// Windows that are looked at to know how many turns a pool needs.
const probedPatients = 256;
/** A window of two context tokens and one future token. */
const shortest = 3;

interface Draw {
	readonly timeline: Timeline;
	/** First future day. */
	readonly cut: number;
}

/** Turns in the order of patients that one pool is given. */
export async function turnsPerPool(
	source: PatientSource,
	vocabulary: TokenStore['vocabulary'],
	order: PatientOrder,
	options: PoolOptions,
): Promise<number> {
	let tokens = 0;
	const probed = Math.min(probedPatients, order.size);
	for (let turn = 0; turn < probed; turn++) {
		const timeline = await source.timeline(order.at(turn));
		if (timeline.days.length < 2) continue;
		const cut = 1 + new RandomStream(options.seed, 'cut', 0, turn).integer(timeline.days.length - 1);
		tokens += windowOf(timeline, vocabulary, cut, options).tokens.length;
	}
	const mean = Math.max(tokens, 1) / probed;
	return Math.ceil((spareTurns * options.batches * options.tokensPerBatch) / mean);
}

/**
 * Draws the windows of several batches and packs them: first-fit decreasing at full budgets, then windows with budgets cut to
 * the widest gap until no gap is worth one. Batches come in random order, for the packing puts long windows first.
 *
 * @param stream - Number of the pool among all pools of all ranks, from 1: what its draws follow from.
 * @param turns - First turn in the order of patients, and how many there are.
 */
export async function drawPool(
	source: PatientSource,
	vocabulary: TokenStore['vocabulary'],
	order: PatientOrder,
	options: PoolOptions,
	stream: number,
	turns: { readonly first: number; readonly count: number },
): Promise<WindowPool> {
	const { tokensPerBatch, seed } = options;
	const bins = new Bins(options.batches, tokensPerBatch);
	const windows: DrawnWindow[] = [];
	let singleDay = 0;
	let turn = 0;
	const draw = async (): Promise<Draw | undefined> => {
		// A whole epoch lies in any two epochs' worth of turns, so a patient who can be cut is found if there is one.
		const everyone = turns.count + 2 * order.size;
		for (let missed = 0; missed < everyone; missed++) {
			// A pool whose turns do not suffice takes its own patients again, with other cuts. Only when none of them can be cut
			// does it take those of other pools, for an empty batch would end the training.
			const place = missed < turns.count ? turn % turns.count : missed;
			const timeline = await source.timeline(order.at(turns.first + place));
			const cuts = timeline.days.length - 1;
			const random = new RandomStream(seed, 'cut', stream, turn++);
			if (cuts > 0) return { timeline, cut: 1 + random.integer(cuts) };
			singleDay++;
		}
		return undefined;
	};

	const natural = naturalShare * options.batches * tokensPerBatch;
	const drawn: Draw[] = [];
	for (let total = 0; total < natural; ) {
		const next = await draw();
		if (next === undefined) break;
		const window = windowOf(next.timeline, vocabulary, next.cut, options);
		drawn.push(next);
		windows.push({ ...window, subjectId: next.timeline.subjectId });
		total += window.tokens.length;
	}
	const unplaced = bins.firstFitDecreasing(windows.map(({ tokens }) => tokens.length));

	let shortened = 0;
	/** Cuts a window again so that it fits the widest gap. */
	const fill = (item: number): boolean => {
		const bin = bins.widest();
		const room = bins.free[bin]!;
		if (room < shortest) return false;
		const { timeline, cut } = drawn[item]!;
		const window = windowOf(timeline, vocabulary, cut, shortenedBudgets(options, room));
		windows[item] = { ...window, subjectId: timeline.subjectId };
		bins.add(bin, item, window.tokens.length);
		shortened++;
		return true;
	};
	const leftOver = unplaced.filter((item) => !fill(item));
	while (bins.free[bins.widest()]! > Math.max(shortest, openShare * tokensPerBatch)) {
		const next = await draw();
		if (next === undefined) break;
		drawn.push(next);
		fill(drawn.length - 1);
	}

	const batches = bins.members.map((members) => [...members].sort((a, b) => a - b).map((item) => windows[item]!));
	return {
		batches: new RandomStream(seed, 'packing', stream).shuffle(batches),
		counts: {
			drawn: drawn.length,
			shortened,
			unplaced: leftOver.length,
			singleDay,
			passedOver: Math.max(0, turns.count - turn),
		},
	};
}

function windowOf(
	timeline: Timeline,
	vocabulary: TokenStore['vocabulary'],
	cut: number,
	{
		contextTokens,
		futureTokens,
		tokensPerBatch,
	}: Pick<PoolOptions, 'contextTokens' | 'futureTokens' | 'tokensPerBatch'>,
): TrainingWindow {
	// A window is never longer than a batch.
	const { contextTokens: context, futureTokens: future } = shortenedBudgets(
		{ contextTokens, futureTokens },
		tokensPerBatch,
	);
	return trainingWindow(timeline, vocabulary, cut, context, future);
}

/** Both budgets by the same factor, so that their sum is at most `room`; context keeps two tokens, the future one. */
function shortenedBudgets(
	{ contextTokens, futureTokens }: Pick<PoolOptions, 'contextTokens' | 'futureTokens'>,
	room: TokenCount,
) {
	const total = contextTokens + futureTokens;
	if (total <= room) return { contextTokens, futureTokens, tokensPerBatch: room };
	const future = Math.min(room - 2, Math.max(1, Math.round((room * futureTokens) / total)));
	return { contextTokens: room - future, futureTokens: future, tokensPerBatch: room };
}
