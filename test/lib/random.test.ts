import t from 'tap';
import { philox4x32, RandomStream } from '../../lib/random.js';

t.test('Philox4x32-10 gives the published words', async (t) => {
	// Random123 kat_vectors; the native generator is tested against the same.
	const words = new Uint32Array(4);
	philox4x32(words, 0, [0, 0, 0], [0, 0]);
	t.same([...words], [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
	philox4x32(words, 0x243f6a88, [0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0]);
	t.same([...words], [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1]);
});

t.test('blocks made at once are those made one by one', async (t) => {
	const together = new Uint32Array(12);
	philox4x32(together, 5, [1, 2, 3], [4, 5]);
	const single = new Uint32Array(4);
	for (let block = 0; block < 3; block++) {
		philox4x32(single, 5 + block, [1, 2, 3], [4, 5]);
		t.same([...together.subarray(4 * block, 4 * block + 4)], [...single]);
	}
});

t.test('a stream depends on seed, purpose, stream and substream alone', async (t) => {
	const first = (...args: ConstructorParameters<typeof RandomStream>) => new RandomStream(...args).uint32();
	t.equal(first(7, 'cut', 3, 1), first(7, 'cut', 3, 1));
	const all = [
		first(7, 'cut', 3, 1),
		first(8, 'cut', 3, 1),
		first(7, 'mask', 3, 1),
		first(7, 'cut', 4, 1),
		first(7, 'cut', 3, 2),
	];
	t.equal(new Set(all).size, all.length);
	t.not(first(2 ** 40 + 1, 'cut'), first(1, 'cut'), 'seeds above 32 bits count');
});

t.test('distributions have the moments they should', async (t) => {
	const random = new RandomStream(11, 'cohort');
	const mean = (draw: () => number) => Array.from({ length: 20_000 }, draw).reduce((sum, x) => sum + x, 0) / 20_000;
	t.ok(Math.abs(mean(() => random.uniform()) - 0.5) < 0.01);
	t.ok(Math.abs(mean(() => random.normal() ** 2) - 1) < 0.04);
	t.ok(Math.abs(mean(() => random.exponential(3)) - 3) < 0.1);
	t.ok(Math.abs(mean(() => random.poisson(4.5)) - 4.5) < 0.07);
	t.ok(Math.abs(mean(() => random.integer(10)) - 4.5) < 0.1);
});

t.test('shuffle keeps every item', async (t) => {
	const items = Array.from({ length: 50 }, (_, i) => i);
	const shuffled = new RandomStream(1, 'epoch').shuffle([...items]);
	t.not(shuffled.join(), items.join());
	t.same(
		[...shuffled].sort((a, b) => a - b),
		items,
	);
});

t.test('normals made by the block are standard normal, and a function of the stream', async (t) => {
	const out = new Float64Array(200_001);
	new RandomStream(5, 'cohort', 1, 1).normals(out);
	const moment = (power: number) => out.reduce((sum, x) => sum + x ** power, 0) / out.length;
	t.ok(Math.abs(moment(1)) < 0.01, `mean ${moment(1)}`);
	t.ok(Math.abs(moment(2) - 1) < 0.015, `variance ${moment(2)}`);
	t.ok(Math.abs(moment(4) - 3) < 0.15, `fourth moment ${moment(4)}`);
	const share = (limit: number) => out.filter((x) => x < limit).length / out.length;
	for (const [limit, expected] of [
		[-2.326348, 0.01],
		[-1, 0.1586553],
		[0.5, 0.6914625],
		[1.959964, 0.975],
	] as const) {
		t.ok(Math.abs(share(limit) - expected) < 0.004, `${share(limit)} below ${limit}`);
	}
	t.ok(out.every((x) => Math.abs(x) < 4.4));
	const again = new Float64Array(8);
	new RandomStream(5, 'cohort', 1, 1).normals(again);
	t.same([...again], [...out.subarray(0, 8)]);
	const stream = new RandomStream(5, 'cohort', 1, 1);
	const parts = [new Float64Array(8), new Float64Array(8)];
	for (const part of parts) stream.normals(part);
	t.same([...parts[1]!], [...out.subarray(8, 16)], 'blocks follow each other');
	t.ok(
		Math.abs(Array.from({ length: 20_000 }, () => stream.chance(0.3)).filter(Boolean).length / 20_000 - 0.3) < 0.012,
	);
});
