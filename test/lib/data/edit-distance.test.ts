import t from 'tap';
import { editDistance } from '../../../lib/data/edit-distance.js';

t.test('letters to add, drop, change or exchange', async (t) => {
	const cases: readonly (readonly [string, string, number])[] = [
		['', '', 0],
		['', 'abc', 3],
		['steps', 'steps', 0],
		['stpes', 'steps', 1],
		['setps', 'steps', 1],
		['spets', 'steps', 2],
		['step', 'steps', 1],
		['kitten', 'sitting', 3],
		['ca', 'abc', 3],
	];
	for (const [a, b, expected] of cases) {
		t.equal(editDistance(a, b), expected, `${a} ${b}`);
		t.equal(editDistance(b, a), expected, `${b} ${a}`);
	}
});
