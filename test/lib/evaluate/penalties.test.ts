import t from 'tap';
import { chosenPenalty } from '../../../lib/evaluate/penalties.js';

const l2 = [0.001, 0.01, 0.1, 1];
const placed = (qualities: readonly (number | undefined)[], converged?: readonly number[]) =>
	chosenPenalty(
		'probe',
		{ l2, otherwise: 0.01, ...(converged === undefined ? {} : { converged: Uint8Array.from(converged) }) },
		(place) => qualities[place],
	);
const silent = [undefined, undefined, undefined, undefined];

t.test('the strength that reads tuning best is taken, the stronger of two alike', async (t) => {
	t.equal(placed([0.6, 0.9, 0.7, 0.5]), 1);
	t.equal(placed([0.6, 0.9, 0.9, 0.5]), 2);
	t.equal(placed([-3, -2, -1, undefined]), 2, 'a quality may be negative');
	t.equal(placed(silent), 1, 'tuning says nothing');
});

t.test('a strength without a solution is passed over', async (t) => {
	t.equal(placed([0.6, 0.9, 0.7, 0.5], [1, 0, 1, 1]), 2);
	t.equal(placed(silent, [1, 0, 1, 1]), 2, 'the next stronger one');
	t.equal(placed(silent, [1, 0, 0, 0]), 0, 'the next weaker one');
	t.throws(() => placed(silent, [0, 0, 0, 0]), {
		code: 'EHR_JEPA_NATIVE',
		message: '[probe] one l2 of 0.001, 0.01, 0.1, 1 must have a solution that float64 can reach but none has',
	});
});
