import { RandomStream } from '../../random.js';
import { firstFit, pack } from '../../sample/packing.js';
import { PatientOrder } from '../../sample/patient-order.js';
import { type TrainingWindow, trainingWindow } from '../../sample/window.js';
import type { StoreSplit } from '../../store/token-store.js';
import type { TokenVocabulary } from '../../tokenizer/token-vocabulary.js';
import type { PackedBatch, Timeline } from '../../types.js';

/** Instruments read the same windows in every run on a store, whatever the run's seed: their readings are paired. */
const instrumentSeed = 0;

/** Budgets around the cut, as in training. */
export interface WindowBudgets {
	readonly contextTokens: number;
	readonly futureTokens: number;
}

export interface InstrumentWindow extends TrainingWindow {
	readonly subjectId: bigint;
}

/**
 * One window of each patient of a split, in an order and with cuts that are the same every time, until they hold `tokens`.
 *
 * @returns At least none: a window that goes beyond the budget is left out, and so are patients with a single day.
 */
export async function drawWindows(
	split: Pick<StoreSplit, 'name' | 'size' | 'timeline'>,
	vocabulary: TokenVocabulary,
	{ contextTokens, futureTokens }: WindowBudgets,
	tokens: number,
): Promise<InstrumentWindow[]> {
	const windows: InstrumentWindow[] = [];
	let left = tokens;
	for await (const { timeline, turn } of patientsInOrder(split)) {
		const cuts = timeline.days.length - 1;
		if (cuts < 1) continue;
		const cut = 1 + new RandomStream(instrumentSeed, 'instruments', 0, turn).integer(cuts);
		const window = trainingWindow(timeline, vocabulary, cut, contextTokens, futureTokens);
		if (window.tokens.length > left) break;
		left -= window.tokens.length;
		windows.push({ ...window, subjectId: timeline.subjectId });
	}
	return windows;
}

/** Every patient of a split once, in the order that instruments have. */
export async function* patientsInOrder(
	split: Pick<StoreSplit, 'size' | 'timeline'>,
): AsyncGenerator<{ readonly timeline: Timeline; readonly turn: number }> {
	if (split.size === 0) return;
	const order = new PatientOrder(instrumentSeed, split.size);
	for (let turn = 0; turn < split.size; turn++) yield { timeline: await split.timeline(order.at(turn)), turn };
}

/** Windows packed for the engine, with the place of each in `windows`. */
export function packWindows(
	windows: readonly InstrumentWindow[],
	tokensPerBatch: number,
): { readonly batch: PackedBatch; readonly members: readonly number[] }[] {
	const lengths = windows.map(({ tokens }) => tokens.length);
	return firstFit(lengths, Math.max(tokensPerBatch, ...lengths)).map((members) => ({
		batch: pack(members.map((i) => windows[i]!.tokens)),
		members,
	}));
}
