import t, { type Test } from 'tap';
import type { Statistic } from '../../../lib/evaluate/intervals.js';
import { compare, type Measure } from '../../../lib/study/comparison.js';

const options = { draws: 400, level: 0.95, seed: 1 };
/** Mean over samples of a patient's value. */
const mean =
	(...values: number[]): Statistic =>
	(weights) => {
		const total = weights.reduce((sum, weight) => sum + weight, 0);
		return { value: values.reduce((sum, value, i) => sum + weights[i]! * value, 0) / total };
	};
const measure = (horizonDays: number, statistics: Record<string, Statistic[]>, patients = [1n, 2n]): Measure => ({
	quantity: 'auroc',
	task: `task-${horizonDays}`,
	horizonDays,
	patients,
	nSamples: patients.length,
	nPatients: new Set(patients).size,
	nPositives: 1,
	statistics: new Map(Object.entries(statistics)),
});
// Two patients are drawn twice, so a resample is one of them alone or both: the interval ends at either alone.
const first = measure(30, {
	a: [mean(0.5, 0.9), mean(0.7, 0.7)],
	b: [mean(0.2, 0.8), mean(0.2, 0.6)],
	counts: [mean(0.1, 0.3)],
});
const close = (t: Test, found: unknown, wanted: unknown) =>
	t.same(
		JSON.parse(JSON.stringify(found), (_, value) => (typeof value === 'number' ? Number(value.toFixed(9)) : value)),
		wanted,
	);

t.test('a paired interval of a mean over seeds, worked out by hand', async (t) => {
	const rows = await compare(
		[first],
		[],
		[
			['a', 'b'],
			['a', 'counts'],
		],
		options,
	);
	const row = (model: string, minus: string | null, seed: number | null) =>
		rows.find((one) => one.model === model && one.minus === minus && one.seed === seed)!;
	// a is 0.6 in patient 1 and 0.8 in patient 2 as a mean over seeds.
	close(t, row('a', null, null).estimate, { value: 0.7, low: 0.6, high: 0.8 });
	close(t, row('a', null, 1).estimate, { value: 0.7, low: 0.5, high: 0.9 });
	close(t, row('counts', null, null).estimate, { value: 0.2, low: 0.1, high: 0.3 });
	t.equal(row('counts', null, null).overSeeds, null);
	// a - b is 0.4 in patient 1 and 0.1 in patient 2; unpaired it would reach from -0.1 to 0.6.
	close(t, row('a', 'b', null).estimate, { value: 0.25, low: 0.1, high: 0.4 });
	close(t, row('a', 'b', 2).estimate, { value: 0.3, low: 0.1, high: 0.5 });
	close(t, row('a', 'b', null).overSeeds, { seeds: 2, sd: 0.070710678, low: 0.2, high: 0.3 });
	close(t, row('a', 'counts', null).estimate, { value: 0.5, low: 0.5, high: 0.5 });
	t.equal(rows.length, 3 + 3 + 1 + 3 + 3, 'mean and two seeds of a, b, both differences; counts once');
});

t.test('a mean of tasks is formed within a resample of patients', async (t) => {
	const second = measure(
		30,
		{ a: [mean(1, 1), mean(1, 1)], b: [mean(0.5, 0.5), mean(0.5, 0.5)], counts: [mean(0, 0)] },
		[2n, 1n],
	);
	const rows = await compare([first, second], [{ task: 'both', measures: [first, second] }], [['a', 'b']], options);
	const both = rows.find(({ task, minus, seed }) => task === 'both' && minus === 'b' && seed === null)!;
	close(t, both.estimate, { value: 0.375, low: 0.3, high: 0.45 });
	t.match(both, { nSamples: 4, nPatients: 2, nPositives: null, horizonDays: 30 });
});

t.test('what is undefined says why, and is left out of a mean', async (t) => {
	const reason = 'one class only: no positive samples in held-out';
	const missing: Measure = {
		...measure(30, { a: [() => ({ undefinedReason: reason })], b: [mean(1)] }, [3n]),
		undefinedReason: reason,
	};
	const one = measure(30, { a: [mean(0.6, 0.8)], b: [mean(0.1, 0.1)] });
	const rows = await compare([missing, one], [{ task: 'both', measures: [missing, one] }], [['a', 'b']], options);
	for (const row of rows.slice(0, 3)) {
		t.same(row.estimate, { value: null, low: null, high: null, undefinedReason: reason });
	}
	close(t, rows.find(({ task, minus }) => task === 'both' && minus === 'b')!.estimate.value, 0.6);
	t.same(await compare([missing], [{ task: 'both', measures: [missing] }], [], options), rows.slice(0, 2));
	t.notMatch(JSON.stringify(rows), /NaN/);
});
