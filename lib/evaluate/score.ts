import { z } from 'zod';
import { parseConfig, positiveInteger } from '../config.js';
import { ConfigError } from '../errors.js';
import type { WorldModel } from '../model/world-model.js';
import { alone, type WorkDivision } from '../ranks/work-division.js';
import { pack } from '../sample/packing.js';
import { demographicsAt } from '../sample/window.js';
import type { StoreSplit } from '../store/token-store.js';
import type { TokenVocabulary } from '../tokenizer/token-vocabulary.js';
import { type EpochDay, type LongOperation, microsecondsPerDay, type Timeline, type TokenCount } from '../types.js';

const Budget = z.object({ tokensPerBatch: positiveInteger.default(4096) });

/** What scoring needs of a model. */
export type ScoringModel = Pick<WorldModel, 'score' | 'hiddenSize'>;

export interface ScoreOptions extends LongOperation {
	/** Sequences are packed up to this many tokens; a longer one is scored alone. */
	readonly tokensPerBatch?: number | undefined;
	/** Also the hidden states after the final norm. */
	readonly withHidden?: boolean | undefined;
	/** Among processes that score them together; absent: this one alone. */
	readonly division?: WorkDivision | undefined;
}

export interface ScoredSequence {
	readonly tokens: Int32Array;
	/** (tokens - 1) natural log; of every token but the first, which nothing predicts. */
	readonly logProbabilities: Float32Array;
	/** (tokens x hiddenSize), or empty. */
	readonly hidden: Float32Array;
}

/**
 * Log-probability of every token given those before it, in the order of the sequences.
 *
 * @param sequences - Gone through twice with a division. Of processes that share them, the one that writes gets the scores.
 */
export async function* scoreSequences(
	model: ScoringModel,
	sequences: AsyncIterable<Int32Array> | Iterable<Int32Array>,
	options: ScoreOptions = {},
): AsyncGenerator<ScoredSequence> {
	const { tokensPerBatch: limit } = parseConfig('score', Budget, { tokensPerBatch: options.tokensPerBatch });
	const { withHidden = false, signal, division = alone } = options;
	let done = 0;
	const compute = async (waiting: readonly Int32Array[]) => {
		const scores = await model.score(pack(waiting), { withHidden, signal });
		done += waiting.length;
		options.onProgress?.({ stage: 'score', done, unit: 'sequences' });
		return scores;
	};
	for await (const [waiting, scores] of division.each(() => packsOf(sequences, limit), compute)) {
		if (scores === undefined) continue;
		let begin = 0;
		for (const [i, tokens] of waiting.entries()) {
			const end = begin + tokens.length;
			yield {
				tokens,
				logProbabilities: scores.logProbabilities.slice(begin - i, end - i - 1),
				hidden: withHidden ? scores.hidden.slice(begin * model.hiddenSize, end * model.hiddenSize) : scores.hidden,
			};
			begin = end;
		}
	}
}

/** Sequences in their order, as many together as fit; a longer one stands alone. */
async function* packsOf(
	sequences: AsyncIterable<Int32Array> | Iterable<Int32Array>,
	limit: TokenCount,
): AsyncGenerator<readonly Int32Array[]> {
	let waiting: Int32Array[] = [];
	let size = 0;
	for await (const sequence of sequences) {
		if (size + sequence.length > limit && waiting.length > 0) {
			yield waiting;
			waiting = [];
			size = 0;
		}
		waiting.push(sequence);
		size += sequence.length;
	}
	if (waiting.length > 0) yield waiting;
}

/** One day of a patient's record, as the model saw it coming. */
export interface DaySurprise {
	readonly subjectId: bigint;
	/** Days since 1970-01-01. */
	readonly day: EpochDay;
	/** Tokens of the day that were scored. */
	readonly tokens: number;
	/** Minus the mean log-probability per token, nats. */
	readonly surprise: number;
	/** 1 is the patient's most surprising day. */
	readonly rank: number;
}

/**
 * How surprising each day of each patient is, given the record before it. A token sees demographics and about half of
 * `windowTokens` or more of what came before, where there is that much. The first token of a record without demographics is not
 * scored; a patient without a scored token is left out.
 */
export async function* surpriseByDay(
	model: ScoringModel,
	split: Pick<StoreSplit, 'name' | 'size' | 'timeline'>,
	vocabulary: TokenVocabulary,
	windowTokens: number,
	options: LongOperation & { readonly division?: WorkDivision | undefined } = {},
): AsyncGenerator<DaySurprise[]> {
	const compute = async (index: number) => {
		const timeline = await split.timeline(index);
		const pieces = windowsOf(timeline, vocabulary, windowTokens);
		const logProbabilities = new Float32Array(timeline.tokens.length);
		let unscored = 0;
		let next = 0;
		for await (const scored of scoreSequences(
			model,
			pieces.map(({ tokens }) => tokens),
			{ signal: options.signal },
		)) {
			const { begin, end } = pieces[next++]!;
			const known = Math.min(end - begin, scored.logProbabilities.length);
			logProbabilities.set(scored.logProbabilities.subarray(scored.logProbabilities.length - known), end - known);
			// A record without demographics: nothing predicts its first token.
			if (begin === 0) unscored = end - known;
		}
		options.onProgress?.({ stage: `score ${split.name}`, done: index + 1, total: split.size, unit: 'patients' });
		return daysOf(timeline, logProbabilities, unscored);
	};
	const patients = () => Array.from({ length: split.size }, (_, index) => index);
	for await (const [, days] of (options.division ?? alone).each(patients, compute)) if (days !== undefined) yield days;
}

interface Piece {
	/** Range of the timeline that is scored: the last tokens of the window. */
	readonly begin: number;
	readonly end: number;
	readonly tokens: Int32Array;
}

/** Windows whose scored ends tile the record: demographics, age, and the newest tokens, cut where the window is full. */
function windowsOf(timeline: Timeline, vocabulary: TokenVocabulary, windowTokens: number): Piece[] {
	const room = windowTokens - timeline.staticTokens.length - 1;
	if (!Number.isSafeInteger(room) || room < 2) {
		throw new ConfigError(
			`[score] windowTokens must be a whole number that holds demographics, age and 2 tokens (${timeline.staticTokens.length + 3}) but is ${windowTokens}`,
		);
	}
	const scored = Math.floor(room / 2);
	const pieces: Piece[] = [];
	let day = 0;
	let scoredDay = 0;
	for (let begin = 0; begin < timeline.tokens.length; begin += scored) {
		const end = Math.min(begin + scored, timeline.tokens.length);
		const start = Math.max(0, end - room);
		while (timeline.dayOffsets[day + 1]! <= start) day++;
		while (timeline.dayOffsets[scoredDay + 1]! <= begin) scoredDay++;
		const age = vocabulary.ageToken(timeline.birthDay, timeline.days[day]!);
		// Demographics that became known on a scored day or later would tell of what is to be foreseen.
		const known = demographicsAt(timeline, BigInt(timeline.days[scoredDay]!) * microsecondsPerDay - 1n);
		const head = age === undefined ? [...known] : [...known, age];
		pieces.push({ begin, end, tokens: Int32Array.of(...head, ...timeline.tokens.subarray(start, end)) });
	}
	return pieces;
}

/** @param unscored - Tokens at the start of the record that have no score. */
function daysOf(timeline: Timeline, logProbabilities: Float32Array, unscored: number): DaySurprise[] {
	const days: Omit<DaySurprise, 'rank'>[] = [];
	for (const [i, day] of timeline.days.entries()) {
		const scored = logProbabilities.subarray(Math.max(unscored, timeline.dayOffsets[i]!), timeline.dayOffsets[i + 1]);
		const tokens = scored.length;
		const sum = scored.reduce((total, value) => total - value, 0);
		if (tokens > 0) days.push({ subjectId: timeline.subjectId, day, tokens, surprise: sum / tokens });
	}
	const order = [...days.keys()].sort((a, b) => days[b]!.surprise - days[a]!.surprise || a - b);
	const ranks = new Map(order.map((index, position) => [index, position + 1]));
	return days.map((row, i) => ({ ...row, rank: ranks.get(i)! }));
}
