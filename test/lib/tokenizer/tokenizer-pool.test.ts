import { monitorEventLoopDelay } from 'node:perf_hooks';
import t from 'tap';
import { QwenTokenizer } from '../../../lib/tokenizer/qwen-tokenizer.js';
import { encodeAll, TokenizerPool } from '../../../lib/tokenizer/tokenizer-pool.js';
import type { Progress } from '../../../lib/types.js';
import { qwen3Folder } from '../../fixtures/qwen3-tokenizer.js';
import { temporaryFolder } from '../../fixtures/temporary-folder.js';
import { tinyTokenizerJson, writeTokenizer } from '../../fixtures/tiny-tokenizer.js';

const tiny = (folder: string) =>
	QwenTokenizer.fromPretrained(writeTokenizer(folder, { 'tokenizer.json': tinyTokenizerJson() }));
/** Texts of different lengths in which no line repeats. */
const texts = Array.from({ length: 300 }, (_, i) => `abc ${i}\n${'ab 1.5\n'.repeat(i % 17)}<|end|>`);
/** Work enough to be interrupted. */
const longText = Array.from({ length: 60_000 }, (_, i) => `${(i * 7919) % 1_000_003}abc`).join('\n');

t.test('ids, order and progress do not depend on the number of threads', async (t) => {
	const tokenizer = await tiny(temporaryFolder(t));
	const expected = texts.map((text) => tokenizer.encode(text));
	for (const threads of [1, 2, 3]) {
		const reports: Progress[] = [];
		t.same(await encodeAll(tokenizer, texts, { threads, onProgress: (report) => reports.push(report) }), expected);
		t.same(reports.at(-1), { stage: 'tokenise', done: 300, total: 300, unit: 'texts' });
		t.ok(reports.length > 3, 'reported between');
	}
});

t.test('a pool serves call after call, also at the same time, and ends', async (t) => {
	const tokenizer = await QwenTokenizer.fromPretrained(qwen3Folder);
	await using pool = new TokenizerPool(tokenizer, 2);
	t.same(await pool.encodeAll([]), []);
	t.same(await pool.encodeAll(['', 'Hello', '']), [new Int32Array(0), Int32Array.of(9707), new Int32Array(0)]);
	const [a, b] = await Promise.all([pool.encodeAll(texts), pool.encodeAll(texts.slice(0, 9))]);
	t.same(
		a,
		texts.map((text) => tokenizer.encode(text)),
	);
	t.same(b, a.slice(0, 9));
});

t.test('the event loop stays free', async (t) => {
	const tokenizer = await tiny(temporaryFolder(t));
	await using pool = new TokenizerPool(tokenizer, 2);
	await pool.encodeAll(['start']);
	const delay = monitorEventLoopDelay({ resolution: 5 });
	delay.enable();
	const started = performance.now();
	await pool.encodeAll([longText, longText]);
	const milliseconds = performance.now() - started;
	delay.disable();
	t.ok(delay.max / 1e6 < Math.max(100, milliseconds / 2), `${delay.max / 1e6} ms of ${milliseconds} ms`);
});

t.test('a signal ends the work in its midst; the pool can be used again', async (t) => {
	const tokenizer = await tiny(temporaryFolder(t));
	await using pool = new TokenizerPool(tokenizer, 2);
	const late = new AbortController();
	setTimeout(() => late.abort(new Error('enough')), 30);
	const started = performance.now();
	await t.rejects(pool.encodeAll(Array(60).fill(longText), { signal: late.signal }), {
		name: 'AbortError',
		code: 'ABORT_ERR',
		message: '[tokenizer] aborted',
		cause: { message: 'enough' },
	});
	t.ok(performance.now() - started < 3000, 'long before the end');
	await t.rejects(pool.encodeAll(texts, { signal: AbortSignal.abort() }), { code: 'ABORT_ERR' });
	t.same(await pool.encodeAll(['abc']), [Int32Array.of(257)]);
});

t.test('closing ends a call that runs; a failing caller is heard', async (t) => {
	const tokenizer = await tiny(temporaryFolder(t));
	const pool = new TokenizerPool(tokenizer, 1);
	await pool.encodeAll(['start']);
	const running = pool.encodeAll(Array(60).fill(longText));
	setTimeout(() => void pool.close(), 30);
	await t.rejects(running, { code: 'ABORT_ERR' });
	const failing = () => {
		throw new RangeError('a progress line that fails');
	};
	await t.rejects(encodeAll(tokenizer, texts, { threads: 2, onProgress: failing }), { name: 'RangeError' });
});

t.test('threads must be a positive integer', async (t) => {
	const tokenizer = await tiny(temporaryFolder(t));
	for (const threads of [0, -1, 1.5])
		t.throws(() => new TokenizerPool(tokenizer, threads), { code: 'EHR_JEPA_CONFIG' });
});
