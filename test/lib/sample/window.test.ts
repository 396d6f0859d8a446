import t from 'tap';
import { firstFit, pack } from '../../../lib/sample/packing.js';
import { contextAt, contextTokens, trainingWindow, visibleAt } from '../../../lib/sample/window.js';
import { ageTokens } from '../../../lib/tokenizer/time-gaps.js';
import fc from '../../fixtures/property.js';
import { firstToken, timelines, timelineVocabulary as vocabulary } from '../../fixtures/timelines.js';

const ageIds = new Set(ageTokens.map((token) => vocabulary.file.tokens.indexOf(token)));

const isTimeline = (token: number) => token >= firstToken;

t.test('no token of a context is later than its index date', async (t) => {
	fc.assert(
		fc.property(
			timelines,
			fc.bigInt(17_999n * 86_400_000_000n, 18_030n * 86_400_000_000n),
			fc.integer({ min: 1, max: 60 }),
			(timeline, time, budget) => {
				const window = contextAt(timeline, vocabulary, time, budget);
				for (const token of window.filter(isTimeline)) {
					const place = token - firstToken;
					const moment = timeline.timeOffsets.findIndex(
						(offset, i) => offset <= place && place < (timeline.timeOffsets[i + 1] ?? 0),
					);
					if (timeline.times[moment]! > time) return false;
				}
				return window.length <= Math.max(budget, 2);
			},
		),
		{ numRuns: 400 },
	);
	t.pass('400 random records');
});

t.test('a prediction time is inclusive', async (t) => {
	const [timeline] = fc.sample(
		timelines.filter(({ times }) => times.length > 2),
		{ numRuns: 1, seed: 4 },
	);
	const last = (time: bigint) => contextAt(timeline!, vocabulary, time, 1000).at(-1)! - firstToken + 1;
	t.equal(last(timeline!.times[1]!), timeline!.timeOffsets[2]);
	t.equal(last(timeline!.times[1]! - 1n), timeline!.timeOffsets[1]);
});

t.test('a context holds demographics, age and the newest whole days, in order', async (t) => {
	fc.assert(
		fc.property(timelines, fc.integer({ min: 6, max: 80 }), (timeline, budget) => {
			const end = timeline.tokens.length;
			const window = [...contextTokens(timeline, vocabulary, visibleAt(timeline, 2n ** 62n), budget)];
			const events = window.filter(isTimeline).map((token) => token - firstToken);
			const contiguous = events.every((place, i) => i === 0 || place === events[i - 1]! + 1);
			const newest = events.at(-1) === end - 1;
			const lastDayStart = timeline.dayOffsets.at(-2)!;
			const wholeDay = timeline.dayOffsets.includes(events[0]!) || events[0]! >= lastDayStart;
			const demographics = timeline.staticTokens.every((token) => window.includes(token));
			const ages = window.filter((token) => ageIds.has(token)).length;
			return contiguous && newest && wholeDay && demographics && ages === (timeline.birthDay === null ? 0 : 1);
		}),
		{ numRuns: 400 },
	);
	t.pass('400 random records');
});

t.test('a training window cuts at a day boundary; both budgets hold', async (t) => {
	const records = timelines.filter(({ days }) => days.length >= 2);
	fc.assert(
		fc.property(
			records,
			fc.nat(),
			fc.integer({ min: 6, max: 40 }),
			fc.integer({ min: 1, max: 40 }),
			(timeline, draw, context, future) => {
				const cutDay = 1 + (draw % (timeline.days.length - 1));
				const { tokens, contextLength } = trainingWindow(timeline, vocabulary, cutDay, context, future);
				const futureTokens = tokens.subarray(contextLength);
				return (
					contextLength >= 1 &&
					contextLength <= context &&
					futureTokens.length >= 1 &&
					futureTokens.length <= future &&
					futureTokens[0] === firstToken + timeline.dayOffsets[cutDay]! &&
					tokens.subarray(0, contextLength).every((token) => token < futureTokens[0]!)
				);
			},
		),
		{ numRuns: 400 },
	);
	t.pass('400 random records');
});

t.test('packing keeps every sequence once, within its limit', async (t) => {
	fc.assert(
		fc.property(fc.array(fc.integer({ min: 1, max: 50 }), { maxLength: 60 }), (lengths) => {
			const bins = firstFit(lengths, 50);
			const members = bins.flat().sort((a, b) => a - b);
			return (
				members.length === lengths.length &&
				members.every((member, i) => member === i) &&
				bins.every((bin) => bin.reduce((sum, i) => sum + lengths[i]!, 0) <= 50)
			);
		}),
	);
	fc.assert(
		fc.property(
			fc.array(fc.array(fc.nat(99), { minLength: 1, maxLength: 9 }), { minLength: 1, maxLength: 9 }),
			(lists) => {
				const { tokens, cuSeqlens, positionIds } = pack(lists.map((list) => Int32Array.from(list)));
				return lists.every((list, i) => {
					const part = tokens.subarray(cuSeqlens[i]!, cuSeqlens[i + 1]!);
					return (
						part.length === list.length &&
						list.every((token, j) => part[j] === token && positionIds[cuSeqlens[i]! + j] === j)
					);
				});
			},
		),
	);
	t.throws(() => firstFit([51], 50), { message: /must fit 50 tokens but sequence 0 has 51/ });
});
