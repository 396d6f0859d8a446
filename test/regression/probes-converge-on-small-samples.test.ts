/** A probe of a few dozen samples ends: steps at the size of rounding may be taken by halves for ever, and are the solution. */
import t from 'tap';
import { nativeAddon } from '../../lib/native.js';
import { RandomStream } from '../../lib/random.js';

t.test('logistic and Cox fits at every strength', async (t) => {
	const l2 = Float64Array.of(1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1, 10);
	// The first three of Cox and the first of a logistic fit that did not end.
	for (const seed of [181, 332, 442, 480]) {
		const random = new RandomStream(seed, 'probe');
		const rows = 30 + Math.floor(random.uniform() * 30);
		const columns = 1 + Math.floor(random.uniform() * 4);
		const features = Float32Array.from({ length: rows * columns }, () => random.normal());
		const times = Float64Array.from({ length: rows }, () => Math.ceil(-Math.log(random.uniform()) * 20));
		const events = Uint8Array.from({ length: rows }, () => (random.uniform() < 0.95 ? 1 : 0));
		for (let i = 3; i < rows; i++) random.uniform();
		const labels = Uint8Array.from({ length: rows }, (_, i) => (i < 2 ? i : random.uniform() < 0.3 ? 1 : 0));
		const cox = await nativeAddon().fitCox({ features, rows, columns, times, events, weights: new Float64Array(), l2 });
		const logistic = await nativeAddon().fitLogistic({ features, rows, columns, labels, l2 });
		for (const { converged } of [cox, logistic])
			t.notOk(converged.includes(0), `seed ${seed}: no solution at l2 ${l2[converged.indexOf(0)]}`);
	}
});
