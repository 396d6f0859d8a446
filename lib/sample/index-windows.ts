import { z } from 'zod';
import { parseConfig, positiveInteger } from '../config.js';
import type { TokenVocabulary } from '../tokenizer/token-vocabulary.js';
import type { IndexDate, PackedBatch, Split, Timeline, TokenCount } from '../types.js';
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
	/** (sequences,) which index date each sequence belongs to. */
	readonly rows: Int32Array;
}

/** What became of index dates and of what their day holds, so that nothing is left out unseen. */
export interface ContextCounts {
	/** Index dates without any token: the subject is in none of the splits, or nothing is known yet. */
	withoutTokens: number;
	/** Index dates in whose own day something became known later. */
	withLaterRuns: number;
	/** How much that was: tokens of one time each, or lines of a text. */
	laterRuns: number;
}

const Budgets = z.object({ contextTokens: positiveInteger, tokensPerBatch: positiveInteger });
// Windows that are read before they are packed: enough to fill several batches well.
const windowsPerGroup = 256;

/**
 * Contexts at index dates, packed: nothing later than the prediction time is in them. An index date whose subject is in
 * none of the splits, or that lies before every event and has no demographics, is counted in `skipped`.
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
	for (let start = 0; start < indexDates.length; start += windowsPerGroup) {
		const windows: Int32Array[] = [];
		const rows: number[] = [];
		for (let row = start; row < Math.min(indexDates.length, start + windowsPerGroup); row++) {
			const { subjectId, predictionTime } = indexDates[row]!;
			const timeline = await timelineOf(splits, subjectId);
			const visible = timeline === undefined ? undefined : visibleAt(timeline, predictionTime);
			if (visible !== undefined && visible.runsNotYetKnown > 0) {
				counts.withLaterRuns++;
				counts.laterRuns += visible.runsNotYetKnown;
			}
			const window =
				timeline === undefined || visible === undefined
					? new Int32Array(0)
					: contextTokens(timeline, vocabulary, visible, budget);
			if (window.length === 0) {
				counts.withoutTokens++;
				continue;
			}
			windows.push(window);
			rows.push(row);
		}
		const bins = firstFit(
			windows.map(({ length }) => length),
			maxTokens,
		);
		for (const members of bins) {
			yield { batch: pack(members.map((i) => windows[i]!)), rows: Int32Array.from(members, (i) => rows[i]!) };
		}
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
