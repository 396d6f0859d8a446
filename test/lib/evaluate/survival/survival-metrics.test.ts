import { readFileSync } from 'node:fs';
import t from 'tap';
import { isDefined, type Metric } from '../../../../lib/evaluate/metrics.js';
import { byDescendingTime, CensoringCurve } from '../../../../lib/evaluate/survival/follow-up.js';
import { inPeriods, periodEnds } from '../../../../lib/evaluate/survival/periods.js';
import { survivalEstimates } from '../../../../lib/evaluate/survival/survival-intervals.js';
import {
	leastFollowed,
	RankedSurvival,
	type SurvivalMetrics,
} from '../../../../lib/evaluate/survival/survival-metrics.js';
import { RandomStream } from '../../../../lib/random.js';
import fc from '../../../fixtures/property.js';

interface Row {
	readonly days: number;
	readonly event: number;
	readonly score: number;
	readonly weight: number;
}
const followUp = (rows: readonly Row[]) => ({
	days: rows.map(({ days }) => days),
	events: rows.map(({ event }) => event),
});
/** All metrics of some rows, whose censoring is their own unless it is given. */
function read(rows: readonly Row[], horizons: readonly number[], censoring = new CensoringCurve(followUp(rows))) {
	const ranked = new RankedSurvival(
		rows.map(({ score }) => score),
		followUp(rows),
		censoring,
		horizons,
	);
	return ranked.metrics(Float64Array.from(ranked.order, (i) => rows[i]!.weight));
}
const numberOf = (metric: Metric) => (isDefined(metric) ? metric.value : undefined);
const near = (a: number | undefined, b: number | undefined) =>
	a === undefined || b === undefined ? a === b : Math.abs(a - b) < 1e-9;

/** The same by going through all pairs, as lifelines and scikit-survival define them. */
function byPairs(rows: readonly Row[], horizons: readonly number[], censoring: CensoringCurve): (number | undefined)[] {
	const wins = (a: Row, b: Row) => (a.score > b.score ? 1 : a.score === b.score ? 0.5 : 0);
	const outlives = (b: Row, a: Row) => b.days > a.days || (b.days === a.days && b.event === 0);
	const ratio = (pairs: readonly (readonly [a: Row, b: Row, weight: number])[]) => {
		const all = pairs.reduce((sum, [, , weight]) => sum + weight, 0);
		return all > 0 ? pairs.reduce((sum, [a, b, weight]) => sum + weight * wins(a, b), 0) / all : undefined;
	};
	const events = rows.filter(({ event }) => event === 1);
	const comparable = events.flatMap((a) =>
		rows.filter((b) => outlives(b, a)).map((b) => [a, b, a.weight * b.weight] as const),
	);
	const last = horizons.at(-1)!;
	const followed = (days: number) => censoring.at(days);
	const thin = (days: number) => followed(days) < leastFollowed;
	const weighted = comparable
		.filter(([a]) => a.days <= last)
		.map(([a, b, weight]) => [a, b, weight / followed(a.days) ** 2] as const);
	const aurocs = horizons.map((horizon) =>
		thin(horizon)
			? undefined
			: ratio(
					events
						.filter(({ days }) => days <= horizon)
						.flatMap((a) =>
							rows
								.filter((b) => b.days > horizon)
								.map((b) => [a, b, (a.weight * b.weight) / followed(a.days)] as const),
						),
				),
	);
	return [ratio(comparable), thin(last) ? undefined : ratio(weighted), ...aurocs];
}
const listed = ({ concordance, ipcwConcordance, aurocs }: SurvivalMetrics) =>
	[concordance, ipcwConcordance, ...aurocs].map(numberOf);

const someRows = fc.array(
	fc.record({
		days: fc.integer({ min: 0, max: 12 }),
		event: fc.nat(1),
		score: fc.integer({ min: -2, max: 3 }),
		weight: fc.integer({ min: 0, max: 3 }),
	}),
	{ minLength: 1, maxLength: 25 },
);

t.test('concordance and time-dependent AUROC equal counting all pairs, with ties, weights and censoring', async (t) => {
	t.doesNotThrow(() =>
		fc.assert(
			fc.property(someRows, someRows, (rows, train) => {
				const censoring = new CensoringCurve(followUp(train));
				const found = read(rows, [3, 8], censoring);
				const expected = byPairs(rows, [3, 8], censoring);
				t.notMatch(JSON.stringify(found), /null|NaN/);
				return listed(found).every((value, i) => near(value, expected[i]));
			}),
			{ numRuns: 300 },
		),
	);
});

t.test("Harrell's C is that of lifelines", async (t) => {
	const { concordance: golden } = JSON.parse(
		readFileSync(new URL('../../../../../test/fixtures/probes/golden.json', import.meta.url), 'utf8'),
	) as { concordance: { days: number[]; events: number[]; scores: number[]; concordance: number } };
	const rows = golden.days.map((days, i) => ({
		days,
		event: golden.events[i]!,
		score: golden.scores[i]!,
		weight: 1,
	}));
	t.ok(near(numberOf(read(rows, [12]).concordance), golden.concordance));
});

t.test('the order of rows, rows of weight 0 and what keeps the order of scores change nothing', async (t) => {
	t.doesNotThrow(() =>
		fc.assert(
			fc.property(someRows, (rows) => {
				const censoring = new CensoringCurve(followUp(rows));
				const found = JSON.stringify(listed(read(rows, [4, 9], censoring)));
				const moved = rows.map((row) => ({ ...row, score: Math.exp(row.score) - 7 })).reverse();
				const more = [
					...rows,
					{ days: 2, event: 1, score: 0.5, weight: 0 },
					{ days: 11, event: 0, score: 9, weight: 0 },
				];
				const close = (values: (number | undefined)[]) =>
					values.every((value, i) => near(value, (JSON.parse(found) as (number | null)[])[i] ?? undefined));
				return close(listed(read(moved, [4, 9], censoring))) && close(listed(read(more, [4, 9], censoring)));
			}),
		),
	);
});

t.test('worked out by hand: censoring weighs events, the integral weighs horizons', async (t) => {
	// Of four, one leaves at 2 days: three quarters would be followed beyond it, so the later event counts 4/3.
	const rows = [
		{ days: 1, event: 1, score: 3, weight: 1 },
		{ days: 2, event: 0, score: 0, weight: 1 },
		{ days: 3, event: 1, score: 1, weight: 1 },
		{ days: 5, event: 0, score: 2, weight: 1 },
	];
	const curve = new CensoringCurve(followUp(rows));
	t.equal(curve.at(2), 1, 'followed at least until then');
	t.ok(near(curve.at(2.5), 2 / 3), 'three were at risk of leaving at 2 days');
	const found = read(rows, [2, 4]);
	t.ok(near(numberOf(found.concordance), 3 / 4));
	const weight = (3 / 2) ** 2;
	t.ok(near(numberOf(found.ipcwConcordance), 3 / (3 + weight)));
	t.ok(near(numberOf(found.aurocs[0]!), 1));
	t.ok(near(numberOf(found.aurocs[1]!), 1 / (1 + 3 / 2)));
	// Without the event: 1, then 3/4, then 3/8.
	t.ok(near(numberOf(found.integratedAuroc), ((1 / 4) * 1 + (3 / 8) * 0.4) / (5 / 8)));
});

t.test('what is undefined says why and is never NaN', async (t) => {
	const row = (days: number, event: number) => ({ days, event, score: 1, weight: 1 });
	const reasons = (metrics: SurvivalMetrics) =>
		[metrics.concordance, metrics.ipcwConcordance, metrics.aurocs[0]!, metrics.integratedAuroc].map((metric) =>
			isDefined(metric) ? metric.value : metric.undefinedReason,
		);
	t.same(reasons(read([], [5])), Array(4).fill('no samples'));
	t.same(reasons(read([row(3, 0), row(4, 0), row(9, 0)], [3])), [
		'no events',
		'no events',
		'no events up to 3 days',
		'no events up to 3 days',
	]);
	t.same(reasons(read([row(3, 1), row(3, 1)], [5])).slice(2), Array(2).fill('no sample is followed beyond 5 days'));
	const ended = new CensoringCurve({ days: [1, 2], events: [1, 0] });
	t.match(
		reasons(read([row(1, 1), row(9, 0)], [5], ended)).slice(1),
		Array(3).fill(/fewer than 1 % of training samples are followed for 5 days/),
	);
	t.throws(() => read([{ ...row(1, 1), score: Number.NaN }], [5]), {
		code: 'EHR_JEPA_DATA',
		message: /scores: must be finite/,
	});
	t.throws(() => read([row(-1, 1)], [5]), { message: /days: must be at least 0/ });
	t.throws(() => read([row(1, 2)], [5]), { message: /events: must be 0 or 1/ });
});

t.test('intervals hold the value, a model is no different from itself, and seeds repeat', async (t) => {
	const random = new RandomStream(4, 'cohort');
	const rows = Array.from({ length: 400 }, () => {
		const score = random.normal();
		const time = -Math.log(random.uniform()) * 50 * Math.exp(-score);
		const end = 10 + 90 * random.uniform();
		return { days: Math.min(time, end), event: time <= end ? 1 : 0, score };
	});
	const outcomes = {
		patients: rows.map((_, i) => BigInt(i >> 1)),
		followUp: { days: rows.map(({ days }) => days), events: rows.map(({ event }) => event) },
		censoring: new CensoringCurve({ days: rows.map(({ days }) => days), events: rows.map(({ event }) => event) }),
		horizons: [10, 60],
	};
	const scores = rows.map(({ score }) => score);
	const options = { draws: 100, level: 0.95, seed: 3 };
	const noise = rows.map(() => random.normal());
	const found = await survivalEstimates(
		outcomes,
		[scores, noise, scores],
		[
			[0, 1],
			[0, 2],
		],
		options,
	);
	t.same(
		found,
		await survivalEstimates(
			outcomes,
			[scores, noise, scores],
			[
				[0, 1],
				[0, 2],
			],
			options,
		),
	);
	const { concordance, ipcwConcordance, integratedAuroc, aurocs } = found.models[0]!;
	for (const { value, low, high } of [
		concordance,
		ipcwConcordance,
		integratedAuroc,
		...aurocs.map(({ auroc }) => auroc),
	])
		t.ok(value! > 0.65 && low! <= value! && value! <= high!, `${low} ${value} ${high}`);
	t.equal(aurocs[1]!.nEvents, rows.filter(({ days, event }) => event === 1 && days <= 60).length);
	t.equal(aurocs[1]!.nBeyond, rows.filter(({ days }) => days > 60).length);
	for (const { b, difference } of found.differences) {
		if (b === 2) t.same(difference, { value: 0, low: 0, high: 0 });
		else t.ok(difference.low! > 0, 'noise is worse');
	}
	const { followUp } = outcomes;
	const reasonsOf = async (horizons: readonly number[], events = followUp.events) => {
		const { models } = await survivalEstimates(
			{ ...outcomes, followUp: { ...followUp, events }, horizons },
			[scores],
			[],
			options,
		);
		const { concordance, integratedAuroc, aurocs } = models[0]!;
		return [concordance, integratedAuroc, ...aurocs.map(({ auroc }) => auroc)].map((one) => one.undefinedReason);
	};
	const none = 'no events in held-out';
	t.same(
		await reasonsOf(
			[10],
			followUp.events.map(() => 0),
		),
		[none, none, none],
	);
	const [first, second] = [...followUp.days].sort((a, b) => a - b) as [number, number];
	const few = await reasonsOf([(first + second) / 2, 60]);
	t.same([few[0], few[3]], [undefined, undefined]);
	t.equal(few[1], few[2], 'the integral lacks what a horizon lacks');
	t.match(few[2], /no events up to|1 held-out patient with an event up to .* days, at least 5 are needed/);
});

t.test('a million samples: every metric is read, by sorting alone', async (t) => {
	const samples = 1_000_000;
	const random = new RandomStream(5, 'cohort');
	const scores = Float64Array.from({ length: samples }, () => random.uniform());
	const days = Float64Array.from(scores, (score) => Math.ceil(random.uniform() * 1000 * (1.5 - score)));
	const events = Uint8Array.from(scores, () => random.integer(2));
	const ranked = new RankedSurvival(scores, { days, events }, new CensoringCurve({ days, events }), [180, 365]);
	const metrics = ranked.metrics(new Float64Array(samples).fill(1));
	for (const value of listed(metrics)) t.ok(value! > 0.6 && value! < 0.9, `${value}`);
});

t.test('periods: events in about equal numbers, each outlived by a sample', async (t) => {
	fc.assert(
		fc.property(someRows, (rows) => {
			const ends = periodEnds(followUp(rows));
			const { atRisk, events } = inPeriods(followUp(rows), ends);
			for (const [period, end] of ends.entries()) {
				if (period > 0 && end <= ends[period - 1]!) return false;
				const inside = rows.filter((_, i) => atRisk[i]! > period);
				const seen = rows.filter((_, i) => events[i] === 1 && atRisk[i] === period + 1);
				if (seen.length === 0 || seen.length === inside.length) return false;
				if (!seen.every(({ days }) => days <= end && days > (ends[period - 1] ?? -1))) return false;
			}
			const outlives = (a: Row, b: Row) => b.days > a.days || (b.days === a.days && b.event === 0);
			return ends.length > 0 || !rows.some((a) => a.event === 1 && rows.some((b) => outlives(a, b)));
		}),
	);
	t.same([...byDescendingTime({ days: [1, 2, 2], events: [1, 1, 0] })], [2, 1, 0]);
});
