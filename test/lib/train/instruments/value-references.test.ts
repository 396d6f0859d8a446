import t, { type Test } from 'tap';
import { RandomStream } from '../../../../lib/random.js';
import { BinTables, meanLoss } from '../../../../lib/train/instruments/bin-tables.js';
import { FilterSamples, HistoryFilter } from '../../../../lib/train/instruments/history-filter.js';
import { NormalBins, normalShare } from '../../../../lib/train/instruments/normal-bins.js';
import type { ValueToken } from '../../../../lib/train/instruments/values.js';

const value = (bin: number, earlier: readonly number[] = [], code = 7): ValueToken => ({ at: 1, code, bin, earlier });
const near = (t: Test, found: number, wanted: number, tolerance: number, about: string) =>
	t.ok(Math.abs(found - wanted) <= tolerance, `${about}: ${found}, wanted ${wanted}`);

t.test('tables are counts, smoothed as told', async (t) => {
	const tables = new BinTables(2);
	for (const one of [value(0), value(1, [0]), value(1, [0, 1]), value(1, [0, 1, 1])]) tables.add(one);
	// One of four was bin 0; one pseudo-count is shared by both bins.
	near(t, tables.byCode(value(0), 1), (1 + 0.5) / 5, 1e-12, 'P(0 | code)');
	near(t, tables.byCode(value(1), 1), (3 + 0.5) / 5, 1e-12, 'P(1 | code)');
	// After a 0 there was a 1, once; two pseudo-counts as the code has it.
	near(t, tables.byPrevious(value(1, [0]), 2), (1 + 2 * 0.7) / 3, 1e-12, 'P(1 | code, 0)');
	near(t, tables.byPrevious(value(0, [1, 1]), 2), (0 + 2 * 0.3) / 4, 1e-12, 'P(0 | code, 1)');
	near(t, tables.byPrevious(value(0), 2), (1 + 2 * 0.3) / 3, 1e-12, 'a first value has a row of its own');
	near(t, tables.byCode(value(1, [], 8)), 0.5, 1e-12, 'a code that was never seen');
	const probabilities = [0, 1].map((bin) => tables.byPrevious(value(bin, [1])));
	near(t, probabilities[0]! + probabilities[1]!, 1, 1e-12, 'a distribution');
	tables.tune(Array.from({ length: 50 }, () => value(1, [0])));
	t.ok(tables.byPrevious(value(1, [0])) > 0.9, 'smoothing is weak where others do the same');
	tables.tune(Array.from({ length: 50 }, () => value(0, [0])));
	t.ok(tables.byPrevious(value(0, [0])) > 0.29, 'and strong where they do not');
});

t.test('bins on a normal scale', async (t) => {
	for (const [x, share] of [
		[0, 0.5],
		[1, 0.8413447460685429],
		[-1.959963984540054, 0.025],
		[-6, 9.865876450376946e-10],
	] as const)
		near(t, normalShare(x) / share, 1, 1e-6, `share below ${x}`);
	const bins = new NormalBins(Float64Array.of(1000, 1000, 2000, 0));
	const all = (mean: number, deviation: number) =>
		[0, 1, 2, 3].map((bin) => bins.probability(bin, mean, deviation)).reduce((sum, share) => sum + share, 0);
	near(t, all(0, 1), 1, 1e-6, 'shares add up');
	near(t, all(2.5, 0.3), 1, 1e-6, 'shares add up in the tail');
	near(t, bins.probability(0, 0, 1), 0.25, 1e-3, 'the average patient has the frequencies');
	t.ok(bins.probability(0, -2, 0.5) > 0.95);
	t.ok(
		bins.scores.every((score, bin) => bin === 0 || score > bins.scores[bin - 1]!),
		'bins are in order',
	);
});

t.test('a filter over all earlier values knows more than the previous one, by as much as theory says', async (t) => {
	// A patient's level and noise of the same size: the best prediction from n values is their shrunken mean.
	const random = new RandomStream(3, 'cut');
	const bins = 10;
	const edges = Array.from({ length: bins - 1 }, (_, i) => quantileOf((i + 1) / bins) * Math.SQRT2);
	const binOf = (x: number) => edges.filter((edge) => x >= edge).length;
	const patient = (): ValueToken[] => {
		const level = random.normal();
		const seen: number[] = [];
		return Array.from({ length: 12 }, () => {
			const bin = binOf(level + random.normal());
			seen.push(bin);
			return value(bin, seen.slice(0, -1));
		});
	};
	const values = (patients: number) => Array.from({ length: patients }, patient).flat();
	const tables = new BinTables(bins);
	const samples = new FilterSamples();
	for (const one of values(2000)) {
		tables.add(one);
		samples.add(one);
	}
	const filter = await HistoryFilter.fit(tables, samples);
	const tuning = values(300);
	tables.tune(tuning);
	filter.tune(tuning);
	const tested = values(2500);
	const total = (one: ValueToken) =>
		Array.from({ length: bins }, (_, bin) => filter.probability({ ...one, bin })).reduce((sum, p) => sum + p, 0);
	near(t, total(tested[40]!), 1, 1e-5, 'a distribution');
	const losses = {
		byCode: meanLoss(tested, (one) => tables.byCode(one)),
		byPrevious: meanLoss(tested, (one) => tables.byPrevious(one)),
		linear: meanLoss(tested, (one) => filter.probability(one)),
	};
	t.ok(losses.byPrevious < losses.byCode - 0.1, JSON.stringify(losses));
	t.ok(losses.linear < losses.byPrevious - 0.05, JSON.stringify(losses));
	// With k values seen the next has variance 1 + 1 / (k + 1) of 2: nats below those of the code alone, had values no bins.
	const gain =
		Array.from({ length: 12 }, (_, k) => -0.5 * Math.log((1 + 1 / (k + 1)) / 2)).reduce((a, b) => a + b) / 12;
	near(t, losses.byCode - losses.linear, gain, 0.1 * gain, 'what can be known is known');
});

function quantileOf(share: number): number {
	let [low, high] = [-8, 8];
	for (let i = 0; i < 60; i++) {
		const middle = (low + high) / 2;
		if (normalShare(middle) < share) low = middle;
		else high = middle;
	}
	return low;
}
