import t from 'tap';
import { BottomSample, sampleKey } from '../../../lib/tokenizer/bottom-sample.js';
import fc from '../../fixtures/property.js';

const sorted = (sample: BottomSample) => [...sample.take().values].sort((a, b) => a - b);

t.test('the sample depends neither on the order of values nor on how they are spread', async (t) => {
	fc.assert(
		fc.property(
			fc.array(fc.tuple(fc.nat(20), fc.nat(50)), { maxLength: 600 }),
			fc.integer({ min: 1, max: 64 }),
			fc.integer({ min: 1, max: 4 }),
			(drawn, size, spread) => {
				const values = drawn.map(([subject, n], i) => ({ key: sampleKey(subject, 0, n * 1000 + i), value: i }));
				const whole = new BottomSample(size);
				for (const { key, value } of values) whole.add(key, value);
				const parts = Array.from({ length: spread }, () => new BottomSample(size));
				for (const [i, { key, value }] of [...values].reverse().entries()) parts[i % spread]!.add(key, value);
				const joined = new BottomSample(size);
				for (const part of parts) joined.addAll(part.take());
				const expected = [...values].sort((a, b) => a.key - b.key).slice(0, size);
				return (
					sorted(whole).join() === sorted(joined).join() &&
					sorted(whole).join() ===
						expected
							.map(({ value }) => value)
							.sort((a, b) => a - b)
							.join() &&
					joined.take().offered === values.length
				);
			},
		),
	);
	t.pass();
});

t.test('quantiles of a sample are near those of all values', async (t) => {
	const sample = new BottomSample(4096);
	for (let i = 0; i < 200_000; i++) sample.add(sampleKey(i % 977, 3, i), i);
	const values = sorted(sample);
	t.equal(values.length, 4096);
	// Six standard deviations of a quantile's rank at this size: 6 sqrt(0.25 / 4096).
	for (const share of [0.1, 0.5, 0.9])
		t.ok(Math.abs(values[Math.floor(share * 4096)]! / 200_000 - share) < 6 * Math.sqrt(0.25 / 4096));
});
