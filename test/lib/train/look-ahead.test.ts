import t from 'tap';
import { withNext } from '../../../lib/train/look-ahead.js';

async function* upTo(last: number, events: string[]): AsyncGenerator<number> {
	try {
		for (let i = 1; i <= last; i++) {
			events.push(`made ${i}`);
			yield i;
		}
		if (last > 2) throw new Error('no more');
	} finally {
		events.push('closed');
	}
}

t.test('each item comes with the one behind it, which is made first', async (t) => {
	const events: string[] = [];
	for await (const { item, next } of withNext(upTo(2, events), true)) events.push(`got ${item}, ${next}`);
	t.strictSame(events, ['made 1', 'made 2', 'got 1, 2', 'closed', 'got 2, undefined']);
});

t.test('without looking ahead nothing is made before it is asked for', async (t) => {
	const events: string[] = [];
	for await (const { item, next } of withNext(upTo(2, events), false)) events.push(`got ${item}, ${next}`);
	t.strictSame(events, ['made 1', 'got 1, undefined', 'made 2', 'got 2, undefined', 'closed']);
});

t.test('an error comes behind the last item, and who leaves early closes the source', async (t) => {
	for (const ahead of [true, false]) {
		const got: number[] = [];
		const all = async () => {
			for await (const { item } of withNext(upTo(3, []), ahead)) got.push(item);
		};
		await t.rejects(all(), { message: 'no more' });
		t.strictSame(got, [1, 2, 3]);
		const events: string[] = [];
		for await (const { item } of withNext(upTo(3, events), ahead)) if (item === 1) break;
		t.equal(events.at(-1), 'closed');
	}
});
