import t from 'tap';
import { Calibration } from '../../../lib/evaluate/calibration.js';
import { isDefined, type Metric } from '../../../lib/evaluate/metrics.js';
import fc from '../../fixtures/property.js';

const ones = (n: number) => new Float64Array(n).fill(1);
const numberOf = (metric: Metric) => (isDefined(metric) ? metric.value : Number.NaN);

t.test('errors of the bins: weighted by predictions, and as meds-evaluation has them', async (t) => {
	// 89 negatives at 0.05, one negative and ten positives at 0.95.
	const probabilities = [...Array<number>(89).fill(0.05), ...Array<number>(11).fill(0.95)];
	const labels = [...Array<number>(90).fill(0), ...Array<number>(10).fill(1)];
	const calibration = new Calibration(probabilities, labels);
	const gap = 0.95 - 10 / 11;
	t.ok(Math.abs(numberOf(calibration.expectedError(ones(100))) - (0.89 * 0.05 + 0.11 * gap)) < 1e-12);
	t.ok(Math.abs(numberOf(calibration.unweightedError(ones(100))) - (0.05 + gap) / 2) < 1e-12);
	t.equal(calibration.curve(ones(100)).length, 2);
	// A probability of 1 lies in the last bin.
	t.match(new Calibration([1, 0], [1, 0]).curve(ones(2)), [{ weight: 1 }, { predicted: 1, observed: 1 }]);
});

t.test('slope and intercept are those of a logistic regression on the logit', async (t) => {
	const probabilities = [0.1, 0.2, 0.3, 0.35, 0.5, 0.6, 0.65, 0.7, 0.8, 0.9];
	const labels = [0, 0, 1, 0, 1, 0, 1, 1, 0, 1];
	const calibration = new Calibration(probabilities, labels);
	const logits = probabilities.map((p) => Math.log(p / (1 - p)));
	const slope = numberOf(calibration.slope(ones(10)));
	const intercept = numberOf(calibration.intercept(ones(10)));
	// At the optimum the gradient vanishes, which is checked apart from how it was found.
	const errors = (a: number, b: number) => logits.map((x, i) => 1 / (1 + Math.exp(-(a + b * x))) - labels[i]!);
	t.ok(Math.abs(errors(intercept, 1).reduce((sum, error) => sum + error)) < 1e-8);
	const bestIntercept = bisect((a) => errors(a, slope).reduce((sum, error) => sum + error));
	t.ok(Math.abs(errors(bestIntercept, slope).reduce((sum, error, i) => sum + error * logits[i]!, 0)) < 1e-8);
	// From NumPy, by Newton's method on the same numbers.
	t.ok(Math.abs(slope - 0.76374809) < 1e-7, `slope ${slope}`);
});

/** Root of an ascending function. */
function bisect(of: (x: number) => number): number {
	let [low, high] = [-20, 20];
	for (let i = 0; i < 200; i++) {
		const middle = (low + high) / 2;
		if (of(middle) < 0) low = middle;
		else high = middle;
	}
	return low;
}

t.test('what is undefined says why', async (t) => {
	const separated = new Calibration([0.1, 0.2, 0.8], [0, 0, 1]);
	t.match(separated.slope(ones(3)), { undefinedReason: 'the predictions separate the outcomes' });
	t.ok(isDefined(separated.intercept(ones(3))));
	t.match(new Calibration([0.1, 0.2], [0, 0]).slope(ones(2)), { undefinedReason: 'one class only: no positives' });
	t.match(new Calibration([0.3, 0.3], [0, 1]).slope(ones(2)), { undefinedReason: 'all predictions are equal' });
	t.match(new Calibration([], []).expectedError([]), { undefinedReason: 'no samples' });
	t.match(separated.expectedError([0, 0, 0]), { undefinedReason: 'no samples' });
	t.throws(() => new Calibration([0.1, Number.NaN], [0, 1]), { code: 'EHR_JEPA_DATA' });
	t.throws(() => new Calibration([1.1], [1]), { code: 'EHR_JEPA_DATA' });
	t.throws(() => new Calibration([0.5], [2]), { code: 'EHR_JEPA_DATA' });
});

t.test('counts stand for copies, and nothing is ever NaN', async (t) => {
	const sample = fc.record({
		// Whole percents too: doubles alone are nearly all so small that the outcomes are separated.
		probability: fc.oneof(
			{ weight: 1, arbitrary: fc.double({ min: 0, max: 1, noNaN: true }) },
			{ weight: 9, arbitrary: fc.integer({ min: 1, max: 99 }).map((percent) => percent / 100) },
		),
		label: fc.constantFrom(0, 1),
		count: fc.nat(3),
	});
	let slopes = 0;
	fc.assert(
		fc.property(fc.array(sample, { maxLength: 30 }), (samples) => {
			const each = new Calibration(
				samples.map(({ probability }) => probability),
				samples.map(({ label }) => label),
			);
			const copies = samples.flatMap((one) => Array<typeof one>(one.count).fill(one));
			const copied = new Calibration(
				copies.map(({ probability }) => probability),
				copies.map(({ label }) => label),
			);
			const weights = samples.map(({ count }) => count);
			for (const metric of ['expectedError', 'unweightedError', 'slope', 'intercept'] as const) {
				const [a, b] = [each[metric](weights), copied[metric](ones(copies.length))];
				if (isDefined(a) !== isDefined(b)) return false;
				if (!isDefined(a) || !isDefined(b)) continue;
				if (!Number.isFinite(a.value) || Math.abs(a.value - b.value) > 1e-6 * Math.max(1, Math.abs(b.value)))
					return false;
				if (metric === 'slope') slopes++;
			}
			return true;
		}),
		{ numRuns: 300 },
	);
	t.ok(slopes > 30, `${slopes} samples had a slope`);
});
