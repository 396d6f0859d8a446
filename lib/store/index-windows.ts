import type { Vocabulary } from '../tokenizer/vocabulary.js';
import type { IndexDate, PackedBatch, TokenCount } from '../types.js';
import { firstFit, pack } from './packing.js';
import type { StoreSplit } from './token-store.js';
import { contextTokens, tokensUntil } from './window.js';

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
	vocabulary: Vocabulary,
	indexDates: readonly IndexDate[],
	options: { readonly contextTokens: TokenCount; readonly tokensPerBatch: TokenCount; readonly onSkipped?: () => void },
): AsyncGenerator<IndexBatch> {
	const maxTokens = Math.max(options.tokensPerBatch, options.contextTokens);
	for (let start = 0; start < indexDates.length; start += windowsPerGroup) {
		const windows: Int32Array[] = [];
		const rows: number[] = [];
		for (let row = start; row < Math.min(indexDates.length, start + windowsPerGroup); row++) {
			const { subjectId, predictionTime } = indexDates[row]!;
			const split = splits.find((candidate) => candidate.indexOf(subjectId) !== undefined);
			const timeline = await split?.timeline(split.indexOf(subjectId)!);
			const window =
				timeline === undefined
					? new Int32Array(0)
					: contextTokens(timeline, vocabulary, tokensUntil(timeline, predictionTime), options.contextTokens);
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
