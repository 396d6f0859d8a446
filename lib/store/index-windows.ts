import type { TokenVocabulary } from '../tokenizer/token-vocabulary.js';
import type { IndexDate, PackedBatch, Timeline, TokenCount } from '../types.js';
import { firstFit, pack } from './packing.js';
import type { StoreSplit } from './token-store.js';
import { contextAt } from './window.js';

export interface IndexBatch {
	readonly batch: PackedBatch;
	/** (sequences,) which index date each sequence belongs to. */
	readonly rows: Int32Array;
}

// Windows that are read before they are packed: enough to fill several batches well.
const windowsPerGroup = 256;

/**
 * Contexts at index dates, packed: nothing later than the prediction time is in them. An index date whose subject is in
 * none of the splits, or that lies before every event and has no demographics, is counted in `skipped`.
 */
export async function* indexBatches(
	splits: readonly StoreSplit[],
	vocabulary: TokenVocabulary,
	indexDates: readonly IndexDate[],
	options: { readonly contextTokens: TokenCount; readonly tokensPerBatch: TokenCount; readonly onSkipped?: () => void },
): AsyncGenerator<IndexBatch> {
	const maxTokens = Math.max(options.tokensPerBatch, options.contextTokens);
	for (let start = 0; start < indexDates.length; start += windowsPerGroup) {
		const windows: Int32Array[] = [];
		const rows: number[] = [];
		for (let row = start; row < Math.min(indexDates.length, start + windowsPerGroup); row++) {
			const { subjectId, predictionTime } = indexDates[row]!;
			const timeline = await timelineOf(splits, subjectId);
			const window =
				timeline === undefined
					? new Int32Array(0)
					: contextAt(timeline, vocabulary, predictionTime, options.contextTokens);
			if (window.length === 0) {
				options.onSkipped?.();
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
export async function timelineOf(splits: readonly StoreSplit[], subjectId: bigint): Promise<Timeline | undefined> {
	for (const split of splits) {
		const place = await split.indexOf(subjectId);
		if (place !== undefined) return split.timeline(place);
	}
	return undefined;
}
