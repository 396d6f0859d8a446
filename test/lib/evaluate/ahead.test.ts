import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { ahead } from '../../../lib/evaluate/ahead.js';

t.test('the next work has begun before the last result is done with, and none beyond it', async (t) => {
	const log: string[] = [];
	const results: [number, number][] = [];
	const work = async (item: number) => {
		log.push(`begin ${item}`);
		await sleep(1);
		return item * 10;
	};
	for await (const [item, result] of ahead([1, 2, 3], work)) {
		log.push(`use ${item}`);
		results.push([item, result]);
	}
	t.same(results, [
		[1, 10],
		[2, 20],
		[3, 30],
	]);
	t.same(log, ['begin 1', 'begin 2', 'use 1', 'begin 3', 'use 2', 'use 3']);
	for await (const _ of ahead([], work)) t.fail('there is nothing');
});

t.test('a failure comes in the turn of its item, and what was begun is waited for', async (t) => {
	const failing = async (item: number) => {
		if (item === 2) throw new Error('two');
		return item;
	};
	const seen: number[] = [];
	const all = async () => {
		for await (const [item] of ahead([1, 2, 3], failing)) {
			seen.push(item);
			await sleep(5);
		}
	};
	await t.rejects(all(), { message: 'two' });
	t.same(seen, [1]);
	let ended = false;
	const slow = async (item: number) => {
		await sleep(item * 10);
		ended = item === 2;
	};
	for await (const _ of ahead([1, 2, 3], slow)) break;
	t.ok(ended, 'nothing goes on in the background');
});
