import t from 'tap';
import { daySeparator, headSeparator, TextBuilder, textRuns } from '../../../lib/prepare/text-builder.js';
import { contextAt, trainingWindow } from '../../../lib/sample/window.js';
import { TimelineColumns, timelineAt } from '../../../lib/store/timeline-columns.js';
import { Serialiser } from '../../../lib/text/serialiser.js';
import type { TextEvent } from '../../../lib/text/text-event.js';
import { QwenTokenizer } from '../../../lib/tokenizer/qwen-tokenizer.js';
import { TextVocabulary } from '../../../lib/tokenizer/text-vocabulary.js';
import fc from '../../fixtures/property.js';
import { temporaryFolder } from '../../fixtures/temporary-folder.js';
import { textRecords } from '../../fixtures/text-records.js';
import { tinyTokenizerJson, writeTokenizer } from '../../fixtures/tiny-tokenizer.js';

const folder = temporaryFolder(t);
const tokenizer = await QwenTokenizer.fromPretrained(writeTokenizer(folder, { 'tokenizer.json': tinyTokenizerJson() }));
const serialisers = [new Serialiser(), new Serialiser({ format: 'tagged', valuesPerLine: 2 })];
const vocabulary = new TextVocabulary({
	format: 'ehr-jepa/text-vocabulary',
	version: 2,
	dataset: 'test',
	etl: { name: 'test', version: '1' },
	dataFingerprint: '0',
	tokenizer: tokenizer.sha256,
	size: tokenizer.vocabularySize + 1,
	maskTokenId: tokenizer.vocabularySize,
	specialTokens: 'text',
	serialiser: serialisers[0]!.options,
});

function timelineOf(serialiser: Serialiser, events: readonly TextEvent[]) {
	const columns = new TimelineColumns();
	new TextBuilder(serialiser, tokenizer, 0).patient(columns, events, 7, 0, null);
	return timelineAt(columns.take(), 0);
}

t.test('stored parts laid end to end are the tokens of the serialised text', async (t) => {
	fc.assert(
		fc.property(textRecords, fc.constantFrom(...serialisers), (events, serialiser) => {
			const { staticTokens, tokens, days, dayOffsets, timeOffsets, times } = timelineOf(serialiser, events);
			const { text, blocks } = serialiser.serialise(events);
			const end = days.length > 0 ? daySeparator : blocks.length > 0 ? headSeparator : '';
			const whole = tokenizer.encodeUncached(text + end);
			if ([...staticTokens, ...tokens].join() !== whole.join()) return false;
			const dayBlocks = blocks.filter(({ kind }) => kind === 'day');
			return (
				dayBlocks.map(({ day }) => day).join() === [...days].join() &&
				dayBlocks.every(({ start, end: until }, i) => {
					const alone = tokenizer.encodeUncached(text.slice(start, until) + daySeparator);
					return alone.join() === tokens.subarray(dayOffsets[i], dayOffsets[i + 1]).join();
				}) &&
				timeOffsets.length === times.length + 1 &&
				timeOffsets.at(-1) === tokens.length
			);
		}),
		{ numRuns: 300 },
	);
	t.pass('300 random records in both formats');
});

t.test('no line of a context tells of an event later than its index date', async (t) => {
	const first = 18_000n * 86_400_000_000n;
	let lines = 0;
	fc.assert(
		fc.property(
			textRecords,
			fc.constantFrom(...serialisers),
			fc.bigInt(-24n, 14n * 24n),
			fc.integer({ min: 2, max: 600 }),
			(events, serialiser, hour, budget) => {
				const time = first + hour * 3_600_000_000n;
				const timeline = timelineOf(serialiser, events);
				const window = contextAt(timeline, vocabulary, time, 100_000);
				// The text as it would have been written at that time holds every line of the context.
				const then = textRuns(
					serialiser,
					events.filter((event) => event.time === null || event.time <= time),
				);
				const known = new Set(
					[...then.head, ...then.days.flatMap(({ runs }) => runs)].map(({ start, end }) =>
						then.text.slice(start, end).trimEnd(),
					),
				);
				for (const run of runsIn(timeline, time)) {
					lines++;
					const text = tokenizer.decode(run).trimEnd();
					if (text !== '' && !known.has(text)) return false;
				}
				const short = contextAt(timeline, vocabulary, time, budget);
				return short.length <= budget && window.length >= short.length;
			},
		),
		{ numRuns: 400 },
	);
	t.ok(lines > 1000, `${lines} lines`);
});

/** Tokens of the runs that a context at a time may hold. */
function runsIn(timeline: ReturnType<typeof timelineOf>, time: bigint): Int32Array[] {
	const runs: Int32Array[] = [];
	const add = (tokens: Int32Array, times: BigInt64Array, offsets: Int32Array) => {
		for (const [run, known] of times.entries())
			if (known <= time) runs.push(tokens.subarray(offsets[run], offsets[run + 1]));
	};
	add(timeline.staticTokens, timeline.staticTimes, timeline.staticOffsets);
	add(timeline.tokens, timeline.times, timeline.timeOffsets);
	const window = contextAt(timeline, vocabulary, time, 100_000);
	if (window.length !== runs.reduce((sum, { length }) => sum + length, 0)) throw new Error('another context');
	return runs;
}

t.test('each run names the events it was made of', async (t) => {
	fc.assert(
		fc.property(textRecords, (events) => {
			const {
				times,
				days,
				dayOffsets,
				timeOffsets,
				events: places,
				eventOffsets,
			} = timelineOf(serialisers[0]!, events);
			if (eventOffsets.length !== times.length + 1 || eventOffsets.at(-1) !== places.length) return false;
			return [...times.keys()].every((run) => {
				const made = [...places.subarray(eventOffsets[run], eventOffsets[run + 1])].map((place) => events[place]!);
				const day = [...days.keys()].findIndex((i) => dayOffsets[i + 1]! > timeOffsets[run]!);
				return made.every(({ time }) => time !== null && Number(time / 86_400_000_000n) === days[day]);
			});
		}),
	);
	t.pass();
});

t.test('an index date inside a day leaves out the lines that later values changed', async (t) => {
	const at = (hour: number, code: string, numericValue?: number): TextEvent => ({
		time: 18_000n * 86_400_000_000n + BigInt(hour) * 3_600_000_000n,
		code,
		numericValue,
	});
	const events = [at(1, 'LAB//A//mg', 1), at(2, 'MEDICATION//x'), at(9, 'LAB//A//mg', 2), at(9, 'MEDICATION//x')];
	const timeline = timelineOf(serialisers[0]!, events);
	const shown = (hour: number) =>
		tokenizer
			.decode(contextAt(timeline, vocabulary, at(hour, 'x').time!, 1000))
			.trim()
			.split('\n');
	t.same(shown(1), ['']);
	t.same(shown(2), ['[2019-04-14]', 'MEDICATION//x'], 'a line without values is known with its first event');
	t.same(shown(9), ['[2019-04-14]', 'LAB//A//mg: 1, 2', 'MEDICATION//x'], 'the prediction time is inclusive');
});

t.test('training windows cut text at days', async (t) => {
	const records = textRecords.filter(
		(events) => new Set(events.filter(({ time }) => time !== null).map(({ time }) => time! / 86_400_000_000n)).size > 2,
	);
	fc.assert(
		fc.property(records, fc.nat(), (events, draw) => {
			const timeline = timelineOf(serialisers[0]!, events);
			if (timeline.days.length < 2) return true;
			const cut = 1 + (draw % (timeline.days.length - 1));
			const { tokens, contextLength } = trainingWindow(timeline, vocabulary, cut, 500, 500);
			return tokenizer.decode(tokens.subarray(contextLength)).startsWith('[20') && contextLength > 0;
		}),
	);
	t.pass();
});
