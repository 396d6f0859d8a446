import t from 'tap';
import { principalAxes, symmetricEigen } from '../../../lib/evaluate/principal-axes.js';
import { RandomStream } from '../../../lib/random.js';

/** Rows of normal numbers whose columns have these deviations, mixed by rotations so that no axis is a column. */
function states(rows: number, deviations: readonly number[], seed: number): Float32Array {
	const random = new RandomStream(seed, 'probe');
	const columns = deviations.length;
	const values = new Float32Array(rows * columns);
	for (let row = 0; row < rows; row++) {
		const point = deviations.map((deviation) => deviation * random.normal());
		for (let i = 0; i + 1 < columns; i++) {
			const [a, b] = [point[i]!, point[i + 1]!];
			point[i] = 0.8 * a - 0.6 * b;
			point[i + 1] = 0.6 * a + 0.8 * b;
		}
		values.set(point, row * columns);
	}
	return values;
}

function covariance(values: Float32Array, columns: number): Float64Array {
	const rows = values.length / columns;
	const result = new Float64Array(columns * columns);
	for (let row = 0; row < rows; row++)
		for (let i = 0; i < columns; i++)
			for (let j = 0; j < columns; j++)
				result[i * columns + j]! += (values[row * columns + i]! * values[row * columns + j]!) / rows;
	return result;
}

for (const [name, deviations] of Object.entries({
	'one strong axis': [5, 1, 1, 0.5, 0.2],
	'many axes that hardly differ': Array.from({ length: 60 }, (_, i) => 1 + 0.002 * i),
	'fewer columns than asked for need not be found': [2, 1],
})) {
	t.test(`principal axes are the eigenvectors of the covariance: ${name}`, async (t) => {
		const columns = deviations.length;
		const values = states(400, deviations, 3);
		const { axes, explained } = await principalAxes(values, columns, 2);
		const matrix = covariance(values, columns);
		const total = deviations.reduce((sum, _, i) => sum + matrix[i * columns + i]!, 0);
		const expected = [...symmetricEigen(matrix).values].sort((a, b) => b - a);
		for (const place of [0, 1]) {
			const axis = axes.subarray(place * columns, (place + 1) * columns);
			t.ok(Math.abs(explained[place]! * total - expected[place]!) < 1e-9 * expected[0]!, 'its strength');
			let residual = 0;
			for (let i = 0; i < columns; i++) {
				let sum = 0;
				for (let j = 0; j < columns; j++) sum += matrix[i * columns + j]! * axis[j]!;
				residual += (sum - expected[place]! * axis[i]!) ** 2;
			}
			t.ok(Math.sqrt(residual) < 1e-8 * expected[0]!, `C v = λ v, off by ${Math.sqrt(residual)}`);
			t.ok(Math.abs(axis.reduce((sum, value) => sum + value * value, 0) - 1) < 1e-12, 'of length 1');
			t.ok(axis.reduce((most, value) => (Math.abs(value) > Math.abs(most) ? value : most), 0) > 0, 'its sign');
		}
		t.same(await principalAxes(values, columns, 2), { axes, explained }, 'the same each time');
	});
}

t.test('axes that are not there are 0, and equal ones are both found', async (t) => {
	t.same(await principalAxes(new Float32Array(12), 3, 2), {
		axes: new Float64Array(6),
		explained: new Float64Array(2),
	});
	const one = await principalAxes(Float32Array.from([1, -1, 2, -2]), 1, 2);
	t.ok(Math.abs(one.explained[0]! - 1) < 1e-12 && one.explained[1] === 0);
	const square = Float32Array.from([1, 0, 0, -1, 0, 0, 0, 1, 0, 0, -1, 0]);
	const { axes, explained } = await principalAxes(square, 3, 2);
	t.ok(explained.every((share) => Math.abs(share - 0.5) < 1e-12));
	t.ok(Math.abs(axes[2]!) + Math.abs(axes[5]!) < 1e-12, 'nothing of the column that is 0');
	await t.rejects(principalAxes(states(50, [1, 1, 1], 1), 3, 2, AbortSignal.abort()));
});
