import t from 'tap';
import { RankedPredictions } from '../../lib/evaluate/metrics.js';
import { nativeAddon, nativeCall } from '../../lib/native.js';
import type { NativeBoostingOptions } from '../../lib/native-probes.js';
import { RandomStream } from '../../lib/random.js';
import { boostingProblem } from '../fixtures/boosting-problem.js';

// scikit-learn 1.9's HistGradientBoosting with the same settings on the same rows.
const train = boostingProblem(3000, 11);
const tuning = boostingProblem(1500, 12);
const heldOut = boostingProblem(4000, 13);

function options(change: Partial<NativeBoostingOptions> = {}): NativeBoostingOptions {
	return {
		columns: train.columns,
		features: train.features,
		targets: train.labels,
		tuningFeatures: new Float32Array(0),
		tuningTargets: new Float32Array(0),
		readFeatures: heldOut.features,
		loss: 'logistic',
		learningRate: 0.1,
		trees: 40,
		patience: 20,
		leaves: 31,
		leafRows: 20,
		l2: 1,
		bins: 63,
		...change,
	};
}
const fit = (change: Partial<NativeBoostingOptions> = {}) =>
	nativeCall(() => nativeAddon().fitBoosting(options(change)));
const stopped = { tuningFeatures: tuning.features, tuningTargets: tuning.labels, trees: 300 };

function aurocOf(scores: ArrayLike<number>): number {
	const metric = new RankedPredictions(scores, heldOut.labels).auroc(new Float64Array(scores.length).fill(1));
	return 'value' in metric ? metric.value : Number.NaN;
}
function lossOf(margins: Float64Array): number {
	const losses = margins.map((margin, i) => Math.log1p(Math.exp(heldOut.labels[i] === 1 ? -margin : margin)));
	return losses.reduce((sum, loss) => sum + loss, 0) / margins.length;
}

t.test('AUROC and log-loss are those of HistGradientBoostingClassifier', async (t) => {
	for (const [trees, auroc, loss] of [
		[40, 0.83546, 0.47663],
		[100, 0.83737, 0.47512],
	] as const) {
		const { predicted, trees: kept } = await fit({ trees });
		t.equal(kept, trees);
		t.ok(Math.abs(aurocOf(predicted) - auroc) < 0.005, `${trees} trees: AUROC ${aurocOf(predicted)} of ${auroc}`);
		t.ok(Math.abs(lossOf(predicted) - loss) < 0.005, `${trees} trees: loss ${lossOf(predicted)} of ${loss}`);
	}
	// Logistic regression reaches 0.628 on these rows: it is trees that find what decides.
	const early = await fit(stopped);
	t.ok(Math.abs(aurocOf(early.predicted) - 0.83775) < 0.005, `${early.trees} trees kept, scikit-learn keeps 99`);
	t.ok(early.trees > 40 && early.trees < 200);
	t.ok(lossOf(early.predicted) < lossOf((await fit({ trees: 300 })).predicted), 'stopping keeps it from overfitting');
});

t.test('R² is that of HistGradientBoostingRegressor', async (t) => {
	const { predicted } = await fit({ loss: 'squared', targets: train.margins, trees: 100 });
	const mean = heldOut.margins.reduce((sum, value) => sum + value, 0) / heldOut.margins.length;
	let [errors, squares] = [0, 0];
	for (const [i, value] of heldOut.margins.entries()) {
		errors += (value - predicted[i]!) ** 2;
		squares += (value - mean) ** 2;
	}
	t.ok(Math.abs(1 - errors / squares - 0.9603) < 0.01, `R² ${1 - errors / squares}`);
});

t.test('the same rows give the same bytes; the order and scale of columns change nothing that counts', async (t) => {
	const first = await fit(stopped);
	t.same((await fit(stopped)).predicted, first.predicted);
	// A power of two: cuts between values scale with them.
	const scaled = (features: Float32Array) => features.map((value) => 4 * value);
	const again = await fit({ features: scaled(train.features), readFeatures: scaled(heldOut.features), trees: 40 });
	t.same(again.predicted, (await fit({ trees: 40 })).predicted);
});

t.test('what no tree can split gives the rate of train', async (t) => {
	const features = new Float32Array(100 * train.columns).fill(3);
	const targets = Float32Array.from({ length: 100 }, (_, i) => (i < 25 ? 1 : 0));
	const { predicted, trees } = await fit({ features, targets });
	t.equal(trees, 0);
	t.ok(predicted.every((margin) => Math.abs(margin - Math.log(1 / 3)) < 1e-12));
	const few = await fit({ features: train.features.slice(0, 39 * train.columns), targets: train.labels.slice(0, 39) });
	t.equal(few.trees, 0, 'two leaves of 20 rows need 40');
});

t.test('rows, targets and options that break a rule are named', async (t) => {
	const refused = (message: RegExp, change: Partial<NativeBoostingOptions>) =>
		t.rejects(fit(change), { code: 'EHR_JEPA_NATIVE', message });
	const one = (value: number, values: Float32Array) => values.map((old, i) => (i === 7 ? value : old));
	await refused(/features must be finite but 7 is not/, { features: one(Number.NaN, train.features) });
	await refused(/read features must be finite but 7 is not/, { readFeatures: one(Infinity, heldOut.features) });
	await refused(/targets must be 0 or 1 but 7 is 2/, { targets: one(2, train.labels) });
	await refused(/targets must hold both classes but all are 1/, { targets: train.labels.map(() => 1) });
	await refused(/features must have 2999 x 12 entries but has 36000/, { targets: train.labels.slice(1) });
	await refused(/tuning features must have 1 x 12 entries but has 0/, { tuningTargets: Float32Array.of(1) });
	await refused(/there must be at least one row/, { features: new Float32Array(0), targets: new Float32Array(0) });
	await refused(/bins must lie between 2 and 255/, { bins: 256 });
	await refused(/learning_rate must lie in \(0, 1\]/, { learningRate: 0 });
});

t.test('times to events: leaves are Newton steps on the partial likelihood, worked out by hand', async (t) => {
	// Six rows a side of the only split; ties, and follow-up that ends at the time of an event.
	const times = [2, 2, 5, 5, 7, 9, 1, 2, 3, 5, 8, 9];
	const seen = [1, 0, 1, 1, 0, 1, 1, 1, 0, 1, 1, 0];
	const features = Float32Array.from(times, (_, i) => (i < 6 ? 0 : 1));
	const targets = Float32Array.from(times, (time, i) => (seen[i] === 1 ? time : -time));
	const small = { columns: 1, features, targets, trees: 1, learningRate: 1, leaves: 2, leafRows: 1, l2: 0.5, bins: 2 };
	const { predicted } = await fit({ ...small, loss: 'cox', readFeatures: Float32Array.of(0, 1) });
	const atRisk = (time: number) => times.filter((other) => other >= time).length;
	for (const side of [0, 1]) {
		let [first, second] = [0, 0];
		for (const [i, time] of times.entries()) {
			if (features[i] !== side) continue;
			const events = times.filter((other, k) => seen[k] === 1 && other <= time);
			const [sum, squares] = [1, 2].map((power) => events.reduce((all, other) => all + atRisk(other) ** -power, 0));
			first += sum! - seen[i]!;
			second += sum! - squares!;
		}
		t.ok(Math.abs(predicted[side]! + first / (second + 0.5)) < 1e-12, `${predicted[side]}, ${-first / (second + 0.5)}`);
	}
});

t.test('times to events: trees find what decides the hazard, and stop by tuning', async (t) => {
	const random = new RandomStream(5, 'cohort');
	// The risk is high in the middle of the first column: no line has that.
	const problem = (rows: number) => {
		const features = Float32Array.from({ length: 2 * rows }, () => 2 * random.uniform() - 1);
		const logHazard = Float64Array.from({ length: rows }, (_, i) => (Math.abs(features[2 * i]!) < 0.5 ? 1.5 : -0.5));
		const targets = Float32Array.from(logHazard, (value) => {
			const [event, end] = [-Math.log(1 - random.uniform()) / Math.exp(value), 1.5 * random.uniform() + 0.01];
			return event <= end ? event : -end;
		});
		return { features, logHazard, targets };
	};
	const [fitted, stopping, read] = [problem(1500), problem(700), problem(1000)];
	const given = {
		...{ columns: 2, loss: 'cox' as const, features: fitted.features, targets: fitted.targets, trees: 300 },
		...{ tuningFeatures: stopping.features, tuningTargets: stopping.targets, readFeatures: read.features },
	};
	const { predicted, trees } = await fit(given);
	const high = read.logHazard.map((value) => (value > 0 ? 1 : 0));
	const auroc = new RankedPredictions(predicted, high).auroc(new Float64Array(high.length).fill(1));
	t.ok('value' in auroc && auroc.value > 0.98, JSON.stringify(auroc));
	t.ok(trees > 5 && trees < 200, `${trees} trees`);
	// Scale and shift of scores are those of the log-hazard.
	const meanOf = (side: number) => {
		const own = predicted.filter((_, i) => high[i] === side);
		return own.reduce((sum, value) => sum + value, 0) / own.length;
	};
	t.ok(Math.abs(meanOf(1) - meanOf(0) - 2) < 0.4, `${meanOf(1) - meanOf(0)} of 2`);
	// Only the order of times counts.
	const squared = (targets: Float32Array) => targets.map((time) => Math.sign(time) * Math.sqrt(Math.abs(time)));
	const other = await fit({ ...given, targets: squared(fitted.targets), tuningTargets: squared(stopping.targets) });
	t.same(other.predicted, predicted);
	// Tuning without an event says nothing: it stops nothing.
	const censored = stopping.targets.map((time) => -Math.abs(time));
	t.equal((await fit({ ...given, trees: 3, tuningTargets: censored })).trees, 3);
	for (const [message, change] of [
		[
			/targets must be a time, negated where it is censored, but 7 is 0/,
			{ targets: fitted.targets.map((v, i) => (i === 7 ? 0 : v)) },
		],
		[/targets must hold an event but all are censored/, { targets: fitted.targets.map((v) => -Math.abs(v)) }],
	] as const)
		await t.rejects(fit({ ...given, ...change }), { code: 'EHR_JEPA_NATIVE', message });
});
