import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import t from 'tap';
import { NativeError } from '../../lib/errors.js';
import { nativeAddon, nativeCall } from '../../lib/native.js';
import { RandomStream } from '../../lib/random.js';

/** (rows x columns) standard normal features, and labels from the first column with noise. */
function problem(rows: number, columns: number) {
	const random = new RandomStream(11, 'probe');
	const features = Float32Array.from({ length: rows * columns }, () => random.normal());
	const labels = Uint8Array.from({ length: rows }, (_, row) =>
		features[row * columns]! + random.normal() > 0.3 ? 1 : 0,
	);
	return { features, labels, rows, columns };
}

t.test('fitLogistic: one solution per penalty whose gradient vanishes', async (t) => {
	const { features, labels, rows, columns } = problem(200, 5);
	const l2 = Float64Array.of(0.01, 1, 1e-4);
	const fit = await nativeCall(() => nativeAddon().fitLogistic({ features, labels, rows, columns, l2 }));
	t.equal(fit.weights.length, l2.length * (columns + 1));
	t.same([...fit.converged], [1, 1, 1]);
	t.ok(fit.iterations.every((iterations) => iterations > 0));
	for (const [i, penalty] of l2.entries()) {
		const weights = fit.weights.subarray(i * (columns + 1), (i + 1) * (columns + 1));
		const gradient = new Float64Array(columns + 1);
		for (let row = 0; row < rows; row++) {
			const x = [...features.subarray(row * columns, (row + 1) * columns), 1];
			const margin = x.reduce((sum, value, j) => sum + value * weights[j]!, 0);
			const residual = 1 / (1 + Math.exp(-margin)) - labels[row]!;
			x.forEach((value, j) => {
				gradient[j]! += (residual * value) / rows;
			});
		}
		for (let j = 0; j < columns; j++) gradient[j]! += penalty * weights[j]!;
		// The solver stops at 1e-6; the rest is the order of the sums.
		t.ok(
			gradient.every((component) => Math.abs(component) < 1.001e-6),
			`l2 ${penalty}: gradient ${gradient}`,
		);
	}
});

t.test('fitRidge: one feature has the closed form, for every output', async (t) => {
	const features = Float32Array.of(1, 2, 3, 6);
	const targets = Float32Array.of(2, 1, 0, 1, 5, 1, 9, 1);
	const { weights } = await nativeCall(() =>
		nativeAddon().fitRidge({ features, rows: 4, columns: 1, targets, outputs: 2, l2: Float64Array.of(0.5, 2) }),
	);
	// x has mean 3 and variance 3.5; the first output has mean 4, the second is the constant 1.
	const mean = (values: number[]) => values.reduce((a, b) => a + b, 0) / values.length;
	const covariance = mean([1 * 2, 2 * 0, 3 * 5, 6 * 9]) - 3 * 4;
	const expected = [0.5, 2].flatMap((l2) => {
		const slope = covariance / (3.5 + l2);
		return [slope, 4 - 3 * slope, 0, 1];
	});
	t.equal(weights.length, expected.length);
	expected.forEach((value, i) => {
		t.ok(Math.abs(weights[i]! - value) < 1e-12, `weight ${i}: ${weights[i]} is ${value}`);
	});
});

t.test('the event loop runs on while a probe is fitted', async (t) => {
	const { features, labels, rows, columns } = problem(3000, 200);
	let ticks = 0;
	const timer = setInterval(() => ticks++, 1);
	const before = ticks;
	const fit = nativeAddon().fitLogistic({ features, labels, rows, columns, l2: Float64Array.of(1e-5) });
	t.equal(ticks, before, 'the call returns at once');
	await fit;
	clearInterval(timer);
	t.ok(ticks > 0, `${ticks} timer ticks while the solver ran`);
});

t.test('arrays may change after the call: they were copied', async (t) => {
	const { features, labels, rows, columns } = problem(100, 3);
	const options = { features, labels, rows, columns, l2: Float64Array.of(0.1) };
	const first = await nativeAddon().fitLogistic(options);
	const promise = nativeAddon().fitLogistic(options);
	features.fill(Number.NaN);
	labels.fill(1);
	t.same((await promise).weights, first.weights);
});

t.test('rejections are NativeErrors that name argument, rule and value', async (t) => {
	const { features, labels, rows, columns } = problem(10, 2);
	const options = { features, labels, rows, columns, l2: Float64Array.of(1) };
	const rejection = async (change: object, message: string) => {
		const call = nativeCall(() => nativeAddon().fitLogistic({ ...options, ...change }));
		await t.rejects(call, { constructor: NativeError, message: new RegExp(message) });
	};
	await rejection({ labels: new Uint8Array(10) }, 'labels must hold both classes but hold 10 of one class');
	await rejection({ labels: labels.map((label) => 3 * label) }, 'labels must be 0 or 1 but hold 3');
	await rejection({ rows: 11 }, 'features must have 11 x 2 entries but has 20');
	await rejection({ labels: labels.subarray(1) }, 'labels must have 10 x 1 entries but has 9');
	await rejection({ l2: Float64Array.of(0) }, 'l2 must be positive and finite but holds 0');
	await rejection({ l2: Float64Array.of() }, 'l2 must hold at least one penalty');
	await rejection({ l2: Float64Array.of(Number.NaN) }, 'l2 must be positive and finite but holds nan');
	await rejection({ l2: [1] }, 'l2 must be a Float64Array but is an array');
	await rejection({ penalty: 1 }, 'has no field "penalty"');
	await rejection({ features: new Float64Array(20) }, 'features must be a Float32Array but is another typed array');
	await rejection({ features: features.map(() => Number.NaN) }, 'features must be finite but hold 20 values');
	await rejection({ rows: 2 ** 52, columns: 2 ** 12 }, 'features must have 4503599627370496 x 4096 entries');
	await t.rejects(
		nativeCall(() =>
			nativeAddon().fitRidge({ features, rows, columns, targets: features, outputs: 1, l2: Float64Array.of(1) }),
		),
		{ constructor: NativeError, message: /targets must have 10 x 1 entries but has 20/ },
	);
});

t.test('a worker thread that ends cancels its fit', async (t) => {
	const worker = new Worker(
		`import { parentPort } from 'node:worker_threads';
		const { nativeAddon } = await import(${JSON.stringify(new URL('../../lib/native.js', import.meta.url).href)});
		const rows = 20000, columns = 400;
		const features = Float32Array.from({ length: rows * columns }, (_, i) => Math.sin(i * 12.9898) * 3);
		const labels = Uint8Array.from({ length: rows }, (_, i) => (i * 7919) % 13 < 5 ? 1 : 0);
		const l2 = Float64Array.from({ length: 400 }, (_, i) => 1e-9 * (i + 1));
		nativeAddon().fitLogistic({ features, labels, rows, columns, l2 });
		parentPort.postMessage('started');`,
		{ eval: true, execArgv: ['--input-type=module'] },
	);
	await once(worker, 'message');
	const start = performance.now();
	t.equal(await worker.terminate(), 1);
	const seconds = (performance.now() - start) / 1000;
	// All 400 fits take many minutes; one iteration is some tenths of a second on a machine with nothing else to do.
	t.ok(seconds < 60, `ended after ${seconds.toFixed(2)} s, long before the last fit`);
});
