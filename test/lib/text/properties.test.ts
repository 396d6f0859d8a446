import t from 'tap';
import { dayOf } from '../../../lib/text/calendar.js';
import { type SerialisedText, Serialiser, type SerialiserOptionsInput } from '../../../lib/text/serialiser.js';
import type { TextEvent } from '../../../lib/text/text-event.js';
import { type Microseconds, microsecondsPerDay } from '../../../lib/types.js';
import fc from '../../fixtures/property.js';

const noon = 1_700_000_000_000_000n;
// Few distinct times and codes, so that ties, repeated lines and values that take each other's place do happen.
const someEvent: fc.Arbitrary<TextEvent> = fc.record(
	{
		time: fc.option(
			fc
				.tuple(fc.integer({ min: -4, max: 4 }), fc.integer({ min: 0, max: 2 }))
				.map(([day, moment]) => noon + BigInt(day) * microsecondsPerDay + BigInt(moment) * 3_600_000_000n),
			{ freq: 6 },
		),
		code: fc.constantFrom(
			'LAB//1//mg',
			'LAB//2//mg',
			'DIAGNOSIS//A',
			'MEDS_BIRTH',
			'GENDER//F',
			'MEDICATION//x',
			'ODD',
		),
		table: fc.option(fc.constantFrom('lab', 'condition', 'person', 'note', 'unlisted'), { freq: 2 }),
		description: fc.option(fc.constantFrom('Same', 'Birth weight', '[2023-01-01]')),
		numericValue: fc.option(fc.oneof(fc.float(), fc.integer({ min: 0, max: 9 }))),
		textValue: fc.option(fc.constantFrom('high', 'a\nb', '')),
		unit: fc.option(fc.constantFrom('mg', 'g', '')),
	},
	{ requiredKeys: ['time', 'code'] },
);
const someEvents = fc.array(someEvent, { maxLength: 40 });
const bins = {
	timeBins: [
		[4, 2],
		[1, 0],
	] as [number, number][],
};
const someOptions: fc.Arbitrary<SerialiserOptionsInput> = fc.record({
	format: fc.constantFrom('by-day', 'tagged'),
	label: fc.constantFrom('description', 'code'),
	numbers: fc.constantFrom('significant', 'two-decimal'),
	valuesPerLine: fc.integer({ min: 1, max: 3 }),
});
const someDate = fc.integer({ min: -5 * 24, max: 5 * 24 }).map((hours) => noon + BigInt(hours) * 3_600_000_000n);
const measure = (text: string) => text.length;

const droppedOf = ({ counts }: SerialisedText) => Object.values(counts.dropped).reduce((sum, n) => sum + n, 0);
const write = (
	options: SerialiserOptionsInput,
	events: readonly TextEvent[],
	indexDate?: Microseconds,
	budget?: number,
) =>
	new Serialiser(options).serialise(events, {
		indexDate,
		window: budget === undefined ? undefined : { budget, measure },
	});

t.test('no event later than the index date is in the text, nor anything that hangs on one', async () => {
	fc.assert(
		fc.property(someEvents, someOptions, someDate, fc.boolean(), (events, options, indexDate, binned) => {
			const all = { ...options, ...(binned ? bins : {}) };
			const result = write(all, events, indexDate);
			for (const line of result.lines) {
				if (line.time !== null && line.time > indexDate) return false;
				if (line.events.some((index) => (events[index]!.time ?? indexDate) > indexDate)) return false;
			}
			// Stronger: the text of the past alone is the same text.
			const past = events.filter(({ time }) => time === null || time <= indexDate);
			return write(all, past, indexDate).text === result.text;
		}),
	);
});

t.test('counts add up: events = written + dropped, each event once', async () => {
	fc.assert(
		fc.property(
			someEvents,
			someOptions,
			someDate,
			fc.option(fc.integer({ min: 1, max: 300 })),
			fc.boolean(),
			(events, options, indexDate, budget, binned) => {
				const result = write({ ...options, ...(binned ? bins : {}) }, events, indexDate, budget ?? undefined);
				const { counts, lines } = result;
				const places = lines.flatMap((line) => line.events);
				const mapped = Object.values(counts.categories).reduce((sum, n) => sum + n, 0);
				return (
					counts.events === events.length &&
					counts.written + droppedOf(result) === events.length &&
					places.length === counts.written &&
					new Set(places).size === places.length &&
					mapped === counts.fromTable + counts.fromCode &&
					mapped ===
						events.length -
							(['after-index-date', 'before-start', 'no-category'] as const).reduce(
								(sum, reason) => sum + counts.dropped[reason],
								0,
							)
				);
			},
		),
	);
});

t.test('the offsets of lines and blocks give back the text', async () => {
	fc.assert(
		fc.property(someEvents, someOptions, someDate, fc.boolean(), (events, options, indexDate, binned) => {
			const { text, lines, blocks } = write({ ...options, ...(binned ? bins : {}) }, events, indexDate);
			// Lines ascend and nothing but line breaks lies between them.
			let end = 0;
			for (const line of lines) {
				if (line.start < end || !/^\n*$/.test(text.slice(end, line.start)) || line.end <= line.start) return false;
				end = line.end;
			}
			if (end !== text.length) return false;
			for (const line of lines) {
				if (line.kind !== 'event') continue;
				const times = line.events.map((index) => events[index]!.time);
				const newest = times.reduce((a, b) => (a === null ? b : b === null || b < a ? a : b), null);
				if (line.time !== newest || line.day !== (newest === null ? null : dayOf(newest))) return false;
			}
			return blocks.every(
				(block, i) =>
					block.start >= (blocks[i - 1]?.end ?? 0) &&
					lines.some(({ start }) => start === block.start) &&
					lines.some((line) => line.end === block.end) &&
					(block.kind !== 'day' || text.startsWith('[', block.start)),
			);
		}),
	);
});

t.test('windowed text is the demographics and a suffix of the days; one day more would not fit', async () => {
	fc.assert(
		fc.property(someEvents, someOptions, fc.integer({ min: 1, max: 400 }), (events, options, budget) => {
			const whole = write(options, events);
			const kept = write(options, events, undefined, budget);
			const days = (result: SerialisedText) => result.blocks.filter(({ kind }) => kind === 'day').map(({ day }) => day);
			const slice = (result: SerialisedText, i: number) =>
				result.text.slice(result.blocks[i]!.start, result.blocks[i]!.end);
			const [all, some] = [days(whole), days(kept)];
			if (some.length === 0 && all.length > 0) return false;
			if (all.slice(all.length - some.length).join() !== some.join()) return false;
			// Demographics are the same, and every day but a single, too large one is whole.
			const head = whole.blocks.length - all.length;
			if (kept.blocks.length - some.length !== head) return false;
			if (head === 1 && slice(whole, 0) !== slice(kept, 0)) return false;
			for (let i = 1; i <= some.length; i++) {
				const same = slice(whole, whole.blocks.length - i) === slice(kept, kept.blocks.length - i);
				if (!same && some.length > 1) return false;
			}
			if (kept.fits !== kept.text.length <= budget) return false;
			if (!kept.fits || some.length === all.length) return true;
			const more = whole.text.slice(whole.blocks[whole.blocks.length - some.length - 1]!.start).length;
			const headLength = head === 1 ? slice(whole, 0).length + 3 : 1;
			return headLength + more > budget;
		}),
	);
});

t.test('the order in which events come is of no effect but among equals', async () => {
	fc.assert(
		fc.property(
			fc.uniqueArray(someEvent, { maxLength: 20, selector: ({ time }) => time }),
			fc.integer(),
			(events, seed) => {
				const shuffled = [...events].sort(
					(a, b) => Number((BigInt(seed) ^ (a.time ?? 0n)) % 7n) - Number((BigInt(seed) ^ (b.time ?? 0n)) % 7n),
				);
				return write({}, shuffled).text === write({}, events).text;
			},
		),
	);
});
