import { ConfigError } from '../errors.js';
import type { TokenStore } from '../store/token-store.js';
import { gapTokens } from '../tokenizer/time-gaps.js';
import type { Timeline } from '../types.js';
import type { TimelineStore } from './index-windows.js';

/**
 * A token store in which events of some codes are not to be seen: their tokens and those of their values are gone, and so is
 * a moment at which nothing else happened. A code that has no token of its own takes with it what shares its token; the
 * token of unknown codes, which names none, stays.
 *
 * @throws {ConfigError} For a store of text, whose tokens do not say which code they are of.
 */
export function hideCodes(store: TokenStore, codes: readonly string[]): TimelineStore {
	if (codes.length === 0) return store;
	const { vocabulary } = store;
	if (vocabulary.kind !== 'structured') {
		throw new ConfigError(
			`[embed] hidden codes need a store of structured tokens but this one holds text; prepare text from data without the ${codes.length} codes of hiddenCodes in tasks.json`,
		);
	}
	const hidden = new Set(
		codes.map((code) => vocabulary.codeToken(code)).flatMap(({ id, match }) => (match === 'unknown' ? [] : [id])),
	);
	const values = new Set(vocabulary.binTokens);
	const gaps = new Set(gapTokens.map((_, gap) => vocabulary.gapToken(gap)));
	return {
		vocabulary,
		split: (name) => {
			const split = store.split(name);
			return {
				indexOf: (subjectId) => split.indexOf(subjectId),
				timeline: async (index) => withoutTokens(await split.timeline(index), hidden, values, gaps),
			};
		},
	};
}

/** @internal */
export function withoutTokens(
	timeline: Timeline,
	hidden: ReadonlySet<number>,
	values: ReadonlySet<number>,
	gaps: ReadonlySet<number>,
): Timeline {
	const kept = (tokens: Int32Array): number[] => {
		const result: number[] = [];
		let isHidden = false;
		for (const token of tokens) {
			// The value of an event stands behind its code.
			if (!values.has(token)) isHidden = hidden.has(token);
			if (!isHidden) result.push(token);
		}
		return result;
	};
	const ofRuns = (all: Int32Array, offsets: Int32Array) => {
		const [tokens, starts, runs]: [number[], number[], number[]] = [[], [], []];
		for (let run = 0; run + 1 < offsets.length; run++) {
			const rest = kept(all.subarray(offsets[run]!, offsets[run + 1]!));
			if (rest.every((token) => gaps.has(token))) continue;
			runs.push(run);
			starts.push(tokens.length);
			for (const token of rest) tokens.push(token);
		}
		return { tokens: Int32Array.from(tokens), offsets: Int32Array.from([...starts, tokens.length]), runs };
	};
	const statics = ofRuns(timeline.staticTokens, timeline.staticOffsets);
	const { tokens, offsets, runs } = ofRuns(timeline.tokens, timeline.timeOffsets);
	const [days, dayOffsets]: [number[], number[]] = [[], []];
	let day = 0;
	for (const [place, run] of runs.entries()) {
		while (timeline.dayOffsets[day + 1]! <= timeline.timeOffsets[run]!) day++;
		if (days.at(-1) === timeline.days[day]) continue;
		days.push(timeline.days[day]!);
		dayOffsets.push(offsets[place]!);
	}
	return {
		...timeline,
		staticTokens: statics.tokens,
		staticTimes: BigInt64Array.from(statics.runs, (run) => timeline.staticTimes[run]!),
		staticOffsets: statics.offsets,
		tokens,
		days: Int32Array.from(days),
		dayOffsets: Int32Array.from([...dayOffsets, tokens.length]),
		times: BigInt64Array.from(runs, (run) => timeline.times[run]!),
		timeOffsets: offsets,
		// Numbers of events belong to the whole record.
		events: new Int32Array(0),
		eventOffsets: new Int32Array(offsets.length),
	};
}
