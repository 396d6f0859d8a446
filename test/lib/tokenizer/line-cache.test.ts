import t from 'tap';
import { IdBuffer } from '../../../lib/tokenizer/id-buffer.js';
import { LineCache } from '../../../lib/tokenizer/line-cache.js';
import fc from '../../fixtures/property.js';

function idsOf(cache: LineCache, line: string): number[] | undefined {
	const target = new IdBuffer();
	return cache.copyTo(target, line) ? [...target.take()] : undefined;
}

t.test('a line is given back with its ids, another is not known', async (t) => {
	const cache = new LineCache(2 ** 20);
	cache.put('Sodium\n', [1, 2, 3]);
	cache.put('', []);
	t.same(idsOf(cache, 'Sodium\n'), [1, 2, 3]);
	t.same(idsOf(cache, ''), []);
	t.equal(idsOf(cache, 'Sodium'), undefined);
});

t.test('the bound holds, and what is met again stays', async (t) => {
	const limit = 2 ** 16;
	const cache = new LineCache(limit);
	cache.put('often', [7]);
	let most = 0;
	for (let i = 0; i < 5000; i++) {
		cache.put(`once ${i}`, [i, i]);
		most = Math.max(most, cache.bytes);
		if (i % 100 === 0) t.same(idsOf(cache, 'often'), [7]);
	}
	t.ok(most > limit / 2 && most <= limit, `${most} bytes`);
	t.equal(idsOf(cache, 'once 0'), undefined, 'what was not met again is forgotten');
	t.same(idsOf(cache, 'once 4999'), [4999, 4999]);
});

t.test('a line that would push out much of the rest is not kept', async (t) => {
	const cache = new LineCache(2 ** 16);
	cache.put('x'.repeat(2000), [1]);
	t.equal(cache.bytes, 0);
});

t.test('what the cache knows is right, whatever was forgotten', async () => {
	const puts = fc.array(fc.tuple(fc.string({ maxLength: 3 }), fc.boolean()), { maxLength: 400 });
	fc.assert(
		fc.property(puts, (steps) => {
			const cache = new LineCache(6400);
			for (const [line] of steps) {
				const ids = idsOf(cache, line);
				const right = [...line].map((character) => character.codePointAt(0)!);
				if (ids === undefined) cache.put(line, right);
				else if (ids.join() !== right.join()) throw new Error(`${JSON.stringify(line)} gave ${ids.join()}`);
			}
		}),
	);
});

t.test('a buffer grows and starts again', async (t) => {
	const buffer = new IdBuffer();
	for (let i = 0; i < 3000; i++) buffer.append([i]);
	buffer.append([9, 8, 7, 6], 1, 3);
	t.equal(buffer.length, 3002);
	t.same([...buffer.since(2999)], [2999, 8, 7]);
	t.same([...buffer.take().slice(-2)], [8, 7]);
	t.same([...buffer.take()], []);
	buffer.append([1]);
	buffer.clear();
	t.equal(buffer.length, 0);
});
