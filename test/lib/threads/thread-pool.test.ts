import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import t, { type Test } from 'tap';
import { Thread } from '../../../lib/threads/thread.js';
import { ThreadPool } from '../../../lib/threads/thread-pool.js';

const library = new URL('../../../lib/', import.meta.url).href;

/** Options for threads that run a service, given as source text. */
function service(t: Test, source: string, more: { readonly signal?: AbortSignal; readonly data?: unknown } = {}) {
	const folder = t.testdir();
	mkdirSync(folder, { recursive: true });
	const file = join(folder, 'service.mjs');
	writeFileSync(
		file,
		`import { serveTasks } from '${library}threads/serve-tasks.js';
		import { DataError } from '${library}errors.js';
		serveTasks(async (data, stopped) => { ${source} });`,
	);
	return { scope: 'test', script: pathToFileURL(file), data: null, ...more };
}

t.test('answers come in the order of the tasks, whichever thread was faster', async (t) => {
	const source =
		'return { answer: async (ms, progress) => { await new Promise((r) => setTimeout(r, ms)); progress(ms); return [ms, data]; } };';
	const pool = new ThreadPool<number, [number, string]>(2, service(t, source, { data: 'shared' }));
	let done = 0;
	const answers = await pool.each([40, 1, 2, 3], (amount) => {
		done += amount;
	});
	t.same(
		answers,
		[40, 1, 2, 3].map((ms) => [ms, 'shared']),
	);
	t.equal(done, 46, 'progress adds up');
	t.equal((await pool.all(0)).length, 2, 'one answer from each thread');
	await pool.close();
});

t.test('an error keeps its class, and the thread goes on', async (t) => {
	const source =
		"return { answer: async (task) => { if (task === 'bad') throw new DataError('test', { file: 'f', rule: 'must be good' }); return task; } };";
	const thread = new Thread<string, string>(service(t, source));
	const answers = [thread.ask('bad'), thread.ask('good')] as const;
	await t.rejects(answers[0], { name: 'DataError', code: 'EHR_JEPA_DATA', message: '[test] f: must be good' });
	t.equal(await answers[1], 'good');
	await thread.close();
});

t.test('a service that cannot start is the error of every task', async (t) => {
	const thread = new Thread<string, string>(
		service(t, "throw new DataError('test', { file: 'f', rule: 'must be there' });"),
	);
	for (const task of ['one', 'two']) await t.rejects(thread.ask(task), { code: 'EHR_JEPA_DATA' });
	await thread.close();
});

t.test('an abort is told at once; closing waits for the thread, which stops in the middle of its task', async (t) => {
	const controller = new AbortController();
	const source = `return {
		answer: async (_, progress) => {
			progress(1);
			await new Promise((resolve) => stopped.addEventListener('abort', resolve));
			stopped.throwIfAborted();
		},
		close: async () => { Atomics.store(data, 0, 1); },
	};`;
	const closed = new Int32Array(new SharedArrayBuffer(4));
	const thread = new Thread<string, void>(service(t, source, { signal: controller.signal, data: closed }));
	const [first, second] = [thread.ask('first', () => controller.abort()), thread.ask('second')];
	second.catch(() => {});
	await t.rejects(first, { code: 'ABORT_ERR', message: '[test] aborted' });
	await t.rejects(second, { code: 'ABORT_ERR' });
	await t.rejects(thread.ask('third'), { code: 'ABORT_ERR' });
	t.equal(Atomics.load(closed, 0), 0, 'still at work');
	await thread.close();
	t.equal(Atomics.load(closed, 0), 1, 'its service was closed');
});

t.test('a thread that ends early is an error, not a wait for ever', async (t) => {
	const thread = new Thread<string, void>(service(t, 'return { answer: async () => process.exit(3) };'));
	await t.rejects(thread.ask('task'), { message: '[test] a thread ended before its work was done' });
	await thread.close();
});
