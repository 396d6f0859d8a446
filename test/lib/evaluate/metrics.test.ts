import t from 'tap';
import { bootstrap, difference, percentile } from '../../../lib/evaluate/intervals.js';
import { isDefined, type Metric, RankedPredictions, rSquared } from '../../../lib/evaluate/metrics.js';
import { RandomStream } from '../../../lib/random.js';
import fc from '../../fixtures/property.js';

const ones = (n: number) => new Float64Array(n).fill(1);
function defined(metric: Metric): number {
	if (!isDefined(metric)) throw new Error(metric.undefinedReason);
	return metric.value;
}

t.test('the golden case of meds-evaluation', async (t) => {
	// Labels true, false, true with probabilities 0.9, 0.1, 0.2: AUROC 1, average precision 1, Brier 0.22.
	const ranked = new RankedPredictions([0.9, 0.1, 0.2], [1, 0, 1]);
	t.equal(defined(ranked.auroc(ones(3))), 1);
	t.equal(defined(ranked.averagePrecision(ones(3))), 1);
	t.ok(Math.abs(defined(ranked.brier(ones(3))) - 0.22) < 1e-12);
});

t.test('values worked out by hand, with ties and weights', async (t) => {
	const ranked = new RankedPredictions([0.5, 0.5, 0.9, 0.1], [1, 0, 0, 1]);
	// Pairs: (0.5, 0.5) half, (0.5, 0.9) 0, (0.1, 0.5) 0, (0.1, 0.9) 0.
	t.equal(defined(ranked.auroc(ones(4))), 0.125);
	// Steps: 0.9 no hit; 0.5 one of three; 0.1 two of four.
	t.ok(Math.abs(defined(ranked.averagePrecision(ones(4))) - (1 / 2) * (1 / 3) - (1 / 2) * (2 / 4)) < 1e-12);
	// A sample of weight 2 is two samples.
	t.equal(
		defined(ranked.auroc([2, 1, 1, 1])),
		defined(new RankedPredictions([0.5, 0.5, 0.5, 0.9, 0.1], [1, 1, 0, 0, 1]).auroc(ones(5))),
	);
});

t.test('what is undefined says why and is never NaN', async (t) => {
	t.same(new RankedPredictions([0.1, 0.2], [0, 0]).auroc(ones(2)), { undefinedReason: 'one class only: no positives' });
	t.same(new RankedPredictions([0.1], [1]).averagePrecision(ones(1)), {
		undefinedReason: 'one class only: no negatives',
	});
	t.same(new RankedPredictions([], []).brier([]), { undefinedReason: 'no samples' });
	t.same(rSquared([1, 2], [3, 3], 2, 1, ones(2)), { undefinedReason: 'constant target' });
	t.same(rSquared([], [], 0, 1, []), { undefinedReason: 'no samples' });
});

t.test('AUROC equals counting all pairs', async (t) => {
	const samples = fc.array(
		fc.record({ score: fc.integer({ min: 0, max: 6 }), label: fc.nat(1), weight: fc.integer({ min: 0, max: 3 }) }),
		{ minLength: 2, maxLength: 25 },
	);
	fc.assert(
		fc.property(samples, (rows) => {
			let pairs = 0;
			let wins = 0;
			for (const a of rows.filter(({ label }) => label === 1)) {
				for (const b of rows.filter(({ label }) => label === 0)) {
					pairs += a.weight * b.weight;
					wins += a.weight * b.weight * (a.score > b.score ? 1 : a.score === b.score ? 0.5 : 0);
				}
			}
			const metric = new RankedPredictions(
				rows.map(({ score }) => score),
				rows.map(({ label }) => label),
			).auroc(rows.map(({ weight }) => weight));
			return pairs === 0 ? !isDefined(metric) : isDefined(metric) && Math.abs(metric.value - wins / pairs) < 1e-12;
		}),
	);
	t.pass('100 random cases');
});

t.test('R squared: 1 for the truth, 0 for the mean, by hand for two outputs', async (t) => {
	t.equal(defined(rSquared([1, 2, 4], [1, 2, 4], 3, 1, ones(3))), 1);
	t.ok(Math.abs(defined(rSquared([2, 2, 2], [1, 2, 3], 3, 1, ones(3)))) < 1e-12);
	// Outputs (1, 3) predicted exactly, (0, 4) predicted (1, 3): 1 - (0 + 2) / (2 + 8).
	t.ok(Math.abs(defined(rSquared([1, 1, 3, 3], [1, 0, 3, 4], 2, 2, ones(2))) - 0.8) < 1e-12);
});

t.test('percentiles interpolate as NumPy does', async (t) => {
	t.equal(percentile(Float64Array.of(1, 2, 3, 4), 0.5), 2.5);
	t.ok(Math.abs(percentile(Float64Array.of(1, 2, 3, 4, 5), 0.025) - 1.1) < 1e-12);
});

t.test('the bootstrap draws patients, by seed, and pairs models', async (t) => {
	const patients = Array.from({ length: 200 }, (_, i) => BigInt(Math.floor(i / 4)));
	const truth = patients.map((patient) => Number(patient % 2n));
	const draws = new RandomStream(4, 'probe');
	const uniform = truth.map(() => draws.uniform());
	const noise = (i: number) => 2 * uniform[i]!;
	const good = new RankedPredictions(
		truth.map((label, i) => label + noise(i)),
		truth,
	);
	const bad = new RankedPredictions(
		truth.map((_, i) => noise(i)),
		truth,
	);
	const options = { draws: 400, level: 0.95, seed: 1 };
	const statistics = [(w: ArrayLike<number>) => good.auroc(w), (w: ArrayLike<number>) => bad.auroc(w)];
	const first = await bootstrap(patients, statistics, [difference(0, 1)], options);
	t.same(
		first,
		await bootstrap(patients, statistics, [difference(0, 1)], options),
		'the same seed gives the same interval',
	);
	t.not(
		first.estimates[0]!.low,
		(await bootstrap(patients, statistics, [], { ...options, seed: 2 })).estimates[0]!.low,
	);
	const [a, b] = first.estimates;
	t.ok(a!.low! < a!.value! && a!.value! <= a!.high!);
	t.ok(first.contrasts[0]!.low! > 0, 'the better model is better on the same resamples');
	t.ok(Math.abs(first.contrasts[0]!.value! - (a!.value! - b!.value!)) < 1e-12);
	// Samples of a patient go together: with all samples independent the interval would be narrower.
	const independent = await bootstrap(
		truth.map((_, i) => BigInt(i)),
		[statistics[1]!],
		[],
		options,
	);
	t.ok(b!.high! - b!.low! > 0);
	t.ok(independent.estimates[0]!.high! - independent.estimates[0]!.low! > 0);
	const constant = await bootstrap([1n, 1n, 2n], [() => ({ value: 0.5 })], [], options);
	t.same(constant.estimates[0], { value: 0.5, low: 0.5, high: 0.5 });
	const undefinedOne = await bootstrap(
		[1n],
		[() => ({ undefinedReason: 'one class only: no positives' })],
		[],
		options,
	);
	t.same(undefinedOne.estimates[0], {
		value: null,
		low: null,
		high: null,
		undefinedReason: 'one class only: no positives',
	});
	await t.rejects(bootstrap(patients, statistics, [], { ...options, draws: 10_000, signal: AbortSignal.abort() }), {
		code: 'ABORT_ERR',
	});
});
