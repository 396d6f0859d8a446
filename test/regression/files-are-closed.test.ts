/** However an operation on a token store ends, no file of the store stays open: on Node 26 one that is collected ends the process. */
import { existsSync, readdirSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { main } from '../../lib/cli/main.js';
import { buildTasks, commonTasks, openTokenStore, Trainer } from '../../lib/index.js';
import { WorldModel } from '../../lib/model/world-model.js';
import { temporaryFolder } from '../fixtures/temporary-folder.js';
import { prepareTinyStore, tinyModel } from '../fixtures/tiny-model.js';

if (!existsSync('/proc/self/fd')) {
	t.plan(0, 'no /proc/self/fd here');
	process.exit();
}

/** Files below a folder that this process has open. */
function openBelow(folder: string): string[] {
	return readdirSync('/proc/self/fd').flatMap((handle) => {
		try {
			const target = readlinkSync(join('/proc/self/fd', handle));
			return target.startsWith(folder) ? [target.slice(folder.length + 1)] : [];
		} catch {
			return []; // the handle of this listing
		}
	});
}

/** Threads close theirs when they have been told; what is still open after a while stays so. */
async function stillOpen(folder: string): Promise<string[]> {
	for (let waited = 0; waited < 5000 && openBelow(folder).length > 0; waited += 50) await sleep(50);
	return openBelow(folder);
}

/** A command in this process; its exit code and what it said. */
async function cli(t: Test, ...args: string[]): Promise<{ readonly code: number; readonly text: string }> {
	const outputs = [t.capture(process.stdout, 'write', () => true), t.capture(process.stderr, 'write', () => true)];
	const code = await main(args);
	const text = outputs.flatMap((calls) => calls().map(({ args: [chunk] }) => String(chunk))).join('');
	for (const output of outputs) output.restore();
	return { code, text };
}

const config = {
	model: tinyModel,
	contextTokens: 32,
	futureTokens: 16,
	tokensPerStep: 64,
	threads: 1,
	steps: 200,
	tuningEvery: 0,
	tuningBatches: 1,
	computeDtype: 'float32',
} as const;

let folder: string;
let store: string;
t.before(async () => {
	folder = temporaryFolder(t);
	store = await prepareTinyStore(folder);
	await buildTasks(join(folder, 'meds'), join(folder, 'tasks'), { tasks: [...commonTasks], minHistoryDays: 1 });
	await using opened = await openTokenStore(store);
	await using trainer = await Trainer.create(join(folder, 'run'), opened, { ...config, steps: 1 });
	for await (const _ of trainer.run(opened));
	writeFileSync(join(folder, 'train.json'), JSON.stringify(config));
});

t.test('this test sees open files', async (t) => {
	const opened = await openTokenStore(store);
	t.ok(openBelow(folder).length > 0, 'a store that is open has open files');
	await opened.close();
	t.same(openBelow(folder), []);
});

t.test('a training that is aborted', async (t) => {
	const controller = new AbortController();
	{
		await using opened = await openTokenStore(store);
		await using trainer = await Trainer.create(join(folder, 'aborted'), opened, config);
		await t.rejects(
			async () => {
				for await (const { step } of trainer.run(opened, { signal: controller.signal }))
					if (step === 3) controller.abort();
			},
			{ code: 'ABORT_ERR' },
		);
	}
	t.same(await stillOpen(folder), []);
});

t.test('a training that its caller leaves', async (t) => {
	{
		await using opened = await openTokenStore(store);
		await using trainer = await Trainer.create(join(folder, 'left'), opened, config);
		for await (const { step } of trainer.run(opened)) if (step === 2) break;
	}
	t.same(await stillOpen(folder), []);
});

t.test('commands that fail on the way', async (t) => {
	const fails = () => Promise.reject(new Error('the engine failed'));
	const [run, tasks] = [join(folder, 'run'), join(folder, 'tasks')];
	for (const [method, args] of [
		['step', ['train', store, join(folder, 'failing'), '--config', join(folder, 'train.json')]],
		['embed', ['embed', run, store, tasks, join(folder, 'failing.parquet')]],
		['score', ['score', run, join(folder, 'failing.arrow'), '--store', store]],
	] as const) {
		const { restore } = t.capture(WorldModel.prototype, method, fails);
		const { code, text } = await cli(t, ...args);
		restore();
		t.not(code, 0);
		t.match(text, /the engine failed/, `${args[0]} was under way`);
		t.same(await stillOpen(folder), [], args[0]);
	}
	t.notOk(
		readdirSync(folder).some((name) => name.startsWith('.') || /^failing\./.test(name)),
		'nothing is left',
	);
});

t.test('commands that are interrupted', async (t) => {
	const [run, tasks] = [join(folder, 'run'), join(folder, 'tasks')];
	for (const [method, args] of [
		['step', ['train', store, join(folder, 'interrupted'), '--config', join(folder, 'train.json')]],
		['embed', ['embed', run, store, tasks, join(folder, 'interrupted.parquet')]],
		['score', ['score', run, join(folder, 'interrupted.arrow'), '--store', store]],
	] as const) {
		const original = WorldModel.prototype[method] as (...given: unknown[]) => Promise<unknown>;
		let told = false;
		const { restore } = t.capture(WorldModel.prototype, method, function (this: unknown, ...given: unknown[]) {
			// The command's own listener, once: tap has one too, and a second Ctrl-C ends the process.
			if (!told) process.listeners('SIGINT').at(-1)!('SIGINT');
			told = true;
			return original.apply(this, given);
		} as never);
		const { code, text } = await cli(t, ...args);
		restore();
		t.equal(code, 130, text);
		t.same(await stillOpen(folder), [], args[0]);
	}
});

t.test('commands that refuse the store', async (t) => {
	const other = join(folder, 'other');
	const { code } = await cli(t, 'prepare', join(folder, 'meds'), other, '--min-patients', '1', '--bins', '3');
	t.equal(code, 0);
	const run = join(folder, 'run');
	for (const args of [
		['embed', run, other, join(folder, 'tasks'), join(folder, 'refused.parquet')],
		['score', run, join(folder, 'refused.arrow'), '--store', other],
		['score', run, join(folder, 'refused.arrow'), '--store', store, '--window', '1'],
		['train', other, run, '--resume', '--steps', '9'],
		['train', store, join(folder, 'refused'), '--set', 'tokensPerStep=0'],
	]) {
		const { code } = await cli(t, ...args);
		t.ok([2, 3, 6].includes(code), `${args[0]}: ${code}`);
		t.same(await stillOpen(folder), [], args.join(' '));
	}
});
