import t from 'tap';
import { BinaryMetrics, binaryMetricNames } from '../../../lib/evaluate/binary-metrics.js';
import { bootstrap } from '../../../lib/evaluate/intervals.js';
import { isDefined } from '../../../lib/evaluate/metrics.js';
import { GatheredPredictions } from '../../../lib/evaluate/prediction-cells.js';
import { predictionEstimates } from '../../../lib/evaluate/prediction-intervals.js';
import { RandomStream } from '../../../lib/random.js';
import fc from '../../fixtures/property.js';

const ones = (n: number) => new Float64Array(n).fill(1);

/** Probabilities and outcomes of patients with several samples each. */
function drawn(n: number, perPatient: number, seed: number, round = 1e9) {
	const random = new RandomStream(seed, 'cohort');
	const probabilities = Float64Array.from({ length: n }, () => {
		const p = 1 / (1 + Math.exp(2 - 1.2 * random.normal()));
		return Math.round(p * round) / round;
	});
	const truth = Uint8Array.from(probabilities, (p) => (random.uniform() < p ** 1.3 ? 1 : 0));
	const patients = Array.from({ length: n }, (_, i) => BigInt(Math.floor(i / perPatient)));
	return { probabilities, truth, patients };
}

t.test('cells weighted by their sizes have the metrics of the samples', async (t) => {
	const property = fc.property(
		fc.integer({ min: 1, max: 400 }),
		fc.integer({ min: 1, max: 1000 }),
		fc.constantFrom(5, 50, 1e9),
		(n, seed, round) => {
			const { probabilities, truth } = drawn(n, 3, seed, round);
			const { exact, fine, cellOf, coarse, coarseOf } = new GatheredPredictions(probabilities, truth, {
				fine: 1024,
				coarse: 64,
			});
			const samples = new BinaryMetrics(probabilities, truth);
			const cells = new BinaryMetrics(exact.scores, exact.labels);
			for (const name of binaryMetricNames) {
				const [a, b] = [samples.value(name, ones(n)), cells.value(name, exact.sizes)];
				if (isDefined(a) !== isDefined(b)) return false;
				if (isDefined(a) && isDefined(b) && Math.abs(a.value - b.value) > 1e-9 * Math.max(1, Math.abs(a.value)))
					return false;
			}
			// Fewer samples than twice the resolution: nothing is lost.
			if (fine.scores.join() !== exact.scores.join()) return false;
			for (const [i, cell] of cellOf.entries()) {
				if (fine.labels[cell] !== truth[i] || fine.scores[cell] !== probabilities[i]) return false;
				if (coarse.labels[coarseOf[cell]!] !== truth[i]) return false;
			}
			return coarse.sizes.reduce((sum, size) => sum + size, 0) === n;
		},
	);
	t.doesNotThrow(() => fc.assert(property, { numRuns: 60 }));
});

t.test('few samples: the intervals of metrics on samples, to the last bit', async (t) => {
	const { probabilities, truth, patients } = drawn(600, 3, 7);
	const options = { draws: 60, level: 0.95, seed: 5 };
	const { models } = await predictionEstimates(patients, truth, [probabilities], [], options);
	const samples = new BinaryMetrics(probabilities, truth);
	const names = ['auroc', 'averagePrecision'] as const;
	const { estimates } = await bootstrap(
		patients,
		names.map((name) => (weights) => samples.value(name, weights)),
		[],
		options,
	);
	for (const [i, name] of names.entries()) t.same(models[0]!.metrics[name], estimates[i], name);
});

t.test('many samples: intervals differ by less than a hundredth of their width', async (t) => {
	const { probabilities, truth, patients } = drawn(30_000, 10, 11);
	const options = { draws: 60, level: 0.95, seed: 5 };
	const { models } = await predictionEstimates(patients, truth, [probabilities], [], options);
	const samples = new BinaryMetrics(probabilities, truth);
	const { estimates } = await bootstrap(
		patients,
		binaryMetricNames.map((name) => (weights) => samples.value(name, weights)),
		[],
		options,
	);
	for (const [i, name] of binaryMetricNames.entries()) {
		const [found, exact] = [models[0]!.metrics[name], estimates[i]!];
		t.ok(Math.abs(found.value! - exact.value!) < 1e-9, `${name}: the value is exact`);
		const width = exact.high! - exact.low!;
		t.ok(Math.abs(found.low! - exact.low!) < 0.02 * width, `${name}: low ${found.low} ${exact.low}`);
		t.ok(Math.abs(found.high! - exact.high!) < 0.02 * width, `${name}: high ${found.high} ${exact.high}`);
	}
});

t.test('differences are paired, and what is undefined says why', async (t) => {
	const { probabilities, truth, patients } = drawn(400, 2, 3);
	const worse = probabilities.map((p, i) => (i % 3 === 0 ? 1 - p : p));
	const options = { draws: 40, level: 0.95, seed: 5 };
	const pairs = [[0, 1]] as const;
	const { models, differences } = await predictionEstimates(patients, truth, [probabilities, worse], pairs, options);
	t.same(
		differences.map(({ metric }) => metric),
		['auroc', 'averagePrecision', 'brier', 'expectedCalibrationError'],
	);
	for (const { metric, difference } of differences) {
		const [a, b] = models.map(({ metrics }) => metrics[metric].value!) as [number, number];
		t.equal(difference.value, a - b, metric);
		t.ok(difference.low! <= difference.value! && difference.value! <= difference.high!);
	}
	const same = await predictionEstimates(patients, truth, [probabilities, probabilities], pairs, options);
	for (const { difference } of same.differences) t.match(difference, { value: 0, low: 0, high: 0 });
	const none = await predictionEstimates(patients, new Uint8Array(400), [probabilities], [], options);
	t.match(none.models[0]!.metrics.auroc, { value: null, undefinedReason: /one class only/ });
	t.type(none.models[0]!.metrics.brier.value, 'number');
	const few = await predictionEstimates(patients, truth, [probabilities], [], options, 'two patients');
	for (const name of binaryMetricNames)
		t.match(few.models[0]!.metrics[name], { value: null, low: null, undefinedReason: 'two patients' });
	await t.rejects(predictionEstimates(patients, truth, [probabilities.map(() => Number.NaN)], [], options), {
		code: 'EHR_JEPA_DATA',
		message: /must be finite/,
	});
});
