import { setImmediate } from 'node:timers/promises';
import { z } from 'zod';
import type { TokenStore } from '../../store/token-store.js';
import type { Vocabulary } from '../../tokenizer/vocabulary.js';
import { BinTables, meanLoss } from './bin-tables.js';
import { FilterSamples, HistoryFilter } from './history-filter.js';
import { ValueReader, type ValueToken } from './values.js';
import { drawWindows, type InstrumentWindow, patientsInOrder, type WindowBudgets } from './windows.js';

/** What simple predictors lose on the same value tokens, nats per token. */
export const ValueReferences = z.strictObject({
	/** Table P(bin | code). */
	byCode: z.number(),
	/** Table P(bin | code, its previous bin in the window). */
	byPrevious: z.number(),
	/** Linear filter over all earlier bins of the code in the window. */
	linear: z.number(),
});
export type ValueReferences = z.infer<typeof ValueReferences>;

// Enough for tables of a hundred codes to err by less than a hundredth of a nat; a second of work.
const fittedTokens = 1_000_000;
const fittedValues = 300_000;
// Patients for whom an event loop's turn is given up.
const patientsPerTurn = 16;

/**
 * Fits the tables and the filter on training patients, their smoothing on tuning patients other than those of `windows`, and
 * reads them on the futures of `windows`: the very tokens on which a model's loss is read.
 *
 * @returns Undefined when those futures hold no value.
 * @throws {NativeError} {DataError}
 */
export async function valueReferences(
	store: TokenStore,
	vocabulary: Vocabulary,
	budgets: WindowBudgets,
	windows: readonly InstrumentWindow[],
): Promise<ValueReferences | undefined> {
	const reader = new ValueReader(vocabulary);
	const read = futureValues(reader, windows);
	if (read.length === 0) return undefined;
	const tables = new BinTables(reader.bins);
	const samples = new FilterSamples();
	let left = fittedTokens;
	const length = budgets.contextTokens + budgets.futureTokens;
	for await (const { timeline, turn } of patientsInOrder(store.split('train'))) {
		if (left <= 0) break;
		left -= timeline.tokens.length;
		// Windows end to end: a table or filter sees as much of a history as a model does.
		for (let begin = 0; begin < timeline.tokens.length; begin += length) {
			for (const value of reader.read(timeline.tokens.subarray(begin, begin + length))) {
				tables.add(value);
				if (samples.size < fittedValues) samples.add(value);
			}
		}
		if (turn % patientsPerTurn === 0) await setImmediate();
	}
	const filter = await HistoryFilter.fit(tables, samples);
	const others = await otherWindows(store, vocabulary, budgets, windows);
	const tuning = futureValues(reader, others);
	tables.tune(tuning);
	await setImmediate();
	filter.tune(tuning);
	return {
		byCode: meanLoss(read, (value) => tables.byCode(value)),
		byPrevious: meanLoss(read, (value) => tables.byPrevious(value)),
		linear: meanLoss(read, (value) => filter.probability(value)),
	};
}

/** Tuning windows of as many tokens again, of patients who come after those of the set. */
async function otherWindows(
	store: TokenStore,
	vocabulary: Vocabulary,
	budgets: WindowBudgets,
	windows: readonly InstrumentWindow[],
): Promise<InstrumentWindow[]> {
	const tokens = windows.reduce((sum, window) => sum + window.tokens.length, 0);
	const both = await drawWindows(store.split('tuning'), vocabulary, budgets, 2 * tokens);
	const taken = new Set(windows.map(({ subjectId }) => subjectId));
	return both.filter(({ subjectId }) => !taken.has(subjectId));
}

function futureValues(reader: ValueReader, windows: readonly InstrumentWindow[]): ValueToken[] {
	return windows.flatMap(({ tokens, contextLength }) =>
		[...copies(reader.read(tokens))].filter(({ at }) => at >= contextLength),
	);
}

function* copies(values: Iterable<ValueToken>): Generator<ValueToken> {
	for (const value of values) yield { ...value, earlier: [...value.earlier] };
}
