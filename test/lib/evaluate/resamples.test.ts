/** Resamples that the core counts are those of lib/random.ts, whatever the shape of the samples. */
import t from 'tap';
import { nativeAddon, nativeCall } from '../../../lib/native.js';
import type { NativeResampleOptions } from '../../../lib/native-probes.js';
import { RandomStream } from '../../../lib/random.js';
import fc from '../../fixtures/property.js';

const resample = (options: NativeResampleOptions) => nativeCall(() => nativeAddon().resample(options));

/** One draw as its definition has it. */
function expected({ offsets, cells, cellCount, seed }: NativeResampleOptions, draw: number): number[] {
	const groups = offsets.length - 1;
	const random = new RandomStream(seed, 'bootstrap', draw);
	const weights = new Array<number>(cellCount).fill(0);
	const samples = offsets.at(-1)!;
	for (let i = 0; i < groups; i++) {
		const group = random.integer(groups);
		for (let at = offsets[group]!; at < offsets[group + 1]!; at++)
			for (let table = at; table < cells.length; table += samples) weights[cells[table]!]!++;
	}
	return weights;
}

const options = fc
	.record({
		sizes: fc.array(fc.integer({ min: 0, max: 20 }), { minLength: 1, maxLength: 300 }),
		tables: fc.integer({ min: 1, max: 3 }),
		cellCount: fc.integer({ min: 1, max: 40 }),
		seed: fc.maxSafeNat(),
		firstDraw: fc.nat({ max: 2 ** 31 - 10 }),
		draws: fc.integer({ min: 0, max: 5 }),
		noise: fc.nat(),
	})
	.map(({ sizes, tables, noise, ...rest }): NativeResampleOptions => {
		const offsets = new Int32Array(sizes.length + 1);
		for (const [i, size] of sizes.entries()) offsets[i + 1] = offsets[i]! + size;
		const random = new RandomStream(noise, 'probe');
		const cells = new Int32Array(tables * offsets.at(-1)!).map(() => random.integer(rest.cellCount));
		return { offsets, cells, ...rest };
	});

t.test('property: weights of every cell are those of the definition', async (t) => {
	await fc.assert(
		fc.asyncProperty(options, async (given) => {
			const { weights } = await resample(given);
			const draws = Array.from({ length: given.draws }, (_, i) => expected(given, given.firstDraw + i));
			t.strictSame([...weights], draws.flat());
		}),
	);
});

t.test('more patients than fit a block of random words, each once drawn or several times', async (t) => {
	const groups = 70_001;
	const offsets = Int32Array.from({ length: groups + 1 }, (_, i) => i);
	const cells = Int32Array.from({ length: groups }, (_, i) => i % 997);
	const given = { offsets, cells, cellCount: 997, seed: 2 ** 40 + 3, firstDraw: 999, draws: 3 };
	const { weights } = await resample(given);
	t.same([...weights.subarray(2 * 997)], expected(given, 1001));
	t.equal(
		weights.reduce((sum, weight) => sum + weight, 0),
		3 * groups,
	);
});

t.test('what breaks a rule is named', async (t) => {
	const good = {
		offsets: Int32Array.of(0, 1, 3),
		cells: Int32Array.of(0, 1, 1),
		cellCount: 2,
		seed: 1,
		firstDraw: 0,
		draws: 1,
	};
	for (const [message, change] of [
		[/offsets must begin with 0/, { offsets: Int32Array.of(1, 3) }],
		[/offsets must ascend/, { offsets: Int32Array.of(0, 3, 2) }],
		[/offsets must begin with 0/, { offsets: new Int32Array(0) }],
		[/cells must be a multiple of the 3 samples but are 2/, { cells: Int32Array.of(0, 1) }],
		[/cells must be below 2 but one is 2/, { cells: Int32Array.of(0, 1, 2) }],
		[/cells must be below 2 but one is -1/, { cells: Int32Array.of(0, 1, -1) }],
		[/draws must be from 0/, { firstDraw: 2 ** 31 - 1 }],
		[/seed must be at least 0/, { seed: -1 }],
	] as const)
		await t.rejects(resample({ ...good, ...change }), { code: 'EHR_JEPA_NATIVE', message });
	t.same([...(await resample({ ...good, offsets: Int32Array.of(0), cells: new Int32Array(0) })).weights], [0, 0]);
});
