/** 48 logistic probes say what scikit-learn's say. `EHR_JEPA_PYTHON` names a Python that has it; default python3. */
import { spawnSync } from 'node:child_process';
import t from 'tap';
import { nativeAddon } from '../../lib/native.js';
import { RandomStream } from '../../lib/random.js';

const python = process.env.EHR_JEPA_PYTHON ?? 'python3';
const found = spawnSync(python, ['-c', 'import sklearn; print(sklearn.__version__)'], { encoding: 'utf8' });
const skip = found.status === 0 ? false : `${python} has no scikit-learn`;

const program = `
import json, sys
import numpy as np
from sklearn.linear_model import LogisticRegression
answers = []
for probe in json.load(sys.stdin):
    x = np.array(probe["features"], dtype=np.float64).reshape(probe["rows"], probe["columns"])
    for l2 in probe["l2"]:
        # scikit-learn: C * sum of losses + 0.5 |w|^2; ours: mean loss + 0.5 l2 |w|^2.
        model = LogisticRegression(C=1 / (l2 * probe["rows"]), solver="newton-cholesky", tol=1e-12, max_iter=1000)
        model.fit(x, probe["labels"])
        answers.append([*model.coef_[0].tolist(), float(model.intercept_[0])])
json.dump(answers, sys.stdout)
`;

const limit = 1e-4;

t.test('probabilities, over sizes, imbalance, scales and penalties', { skip, timeout: 180_000 }, async (t) => {
	const l2 = Float64Array.of(1e-4, 1e-2, 1, 100);
	const probes = [50, 300, 1000].flatMap((rows) =>
		[
			{ columns: 3, rare: 0.5, scale: 1 },
			{ columns: 16, rare: 0.5, scale: 0.01 },
			{ columns: 16, rare: 0.1, scale: 10 },
			{ columns: 32, rare: 0.9, scale: 1 },
		].map(({ columns, rare, scale }) => {
			const random = new RandomStream(rows + columns, 'probe');
			const features = Float32Array.from({ length: rows * columns }, () => (random.uniform() - 0.5) * scale);
			const labels = Uint8Array.from({ length: rows }, (_, row) =>
				random.uniform() + (0.3 * features[row * columns]!) / scale < rare ? 1 : 0,
			);
			return { features, rows, columns, labels, l2 };
		}),
	);
	const input = JSON.stringify(
		probes.map((probe) => ({
			...probe,
			features: [...probe.features],
			labels: [...probe.labels],
			l2: [...probe.l2],
		})),
	);
	const { status, stdout, stderr } = spawnSync(python, ['-c', program], { input, encoding: 'utf8', maxBuffer: 1e8 });
	t.equal(status, 0, stderr.slice(-500));
	const theirs = JSON.parse(stdout) as number[][];
	t.equal(theirs.length, 48);
	let next = 0;
	for (const probe of probes) {
		const { weights, converged } = await nativeAddon().fitLogistic(probe);
		for (const [i, penalty] of l2.entries()) {
			const ours = weights.subarray(i * (probe.columns + 1), (i + 1) * (probe.columns + 1));
			const expected = theirs[next++]!;
			// What a probe is read by: where weights hardly matter to the loss, they may differ more.
			const probability = (w: ArrayLike<number>, row: number) => {
				let score = w[probe.columns]!;
				for (let j = 0; j < probe.columns; j++) score += w[j]! * probe.features[row * probe.columns + j]!;
				return 1 / (1 + Math.exp(-score));
			};
			let worst = 0;
			for (let row = 0; row < probe.rows; row++)
				worst = Math.max(worst, Math.abs(probability(ours, row) - probability(expected, row)));
			t.equal(converged[i], 1);
			t.ok(worst < limit, `${probe.rows} x ${probe.columns}, l2 ${penalty}: probabilities differ by ${worst}`);
		}
	}
});
