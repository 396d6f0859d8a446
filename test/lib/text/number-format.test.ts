import t from 'tap';
import { significant, twoDecimal } from '../../../lib/text/number-format.js';
import fc from '../../fixtures/property.js';

t.test("two decimals, as Python's f'{x:.2f}' writes them", async (t) => {
	// Right column: python3 -c "print(f'{x:.2f}')".
	const cases: [number, string][] = [
		[0.125, '0.12'],
		[0.375, '0.38'],
		[0.625, '0.62'],
		[0.875, '0.88'],
		[1.125, '1.12'],
		[2.375, '2.38'],
		[-0.125, '-0.12'],
		[-0.375, '-0.38'],
		[0.005, '0.01'],
		[1.005, '1.00'],
		[0.004, '0.00'],
		[-0.001, '-0.00'],
		[-0, '-0.00'],
		[126, '126.00'],
		[9.995, '9.99'],
		[1e21, '1000000000000000000000.00'],
		[2 ** 53 + 2, '9007199254740994.00'],
		[Math.fround(7.2), '7.20'],
	];
	for (const [value, text] of cases) t.equal(twoDecimal(value), text, String(value));
});

t.test('significant digits: what was written with up to six comes back', async (t) => {
	t.equal(significant(0.004, 6), '0.004');
	t.equal(significant(Math.fround(7.2), 6), '7.2');
	t.equal(significant(1250, 6), '1250');
	t.equal(significant(0, 6), '0');
	t.equal(significant(-0.5, 6), '-0.5');
	t.equal(significant(12345678, 6), '12345678', 'digits before the point stay');
	t.equal(significant(1234567.8, 6), '1234568');
	fc.assert(
		fc.property(fc.integer({ min: -999_999, max: 999_999 }), fc.integer({ min: 0, max: 6 }), (digits, shift) => {
			const value = digits / 10 ** shift;
			return Number(significant(Math.fround(value), 6)) === value;
		}),
	);
});
