/** What several processes say and leave behind when something is wrong with one of them. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import type { TrainConfigInput } from '../../lib/index.js';
import { simulatedStore } from '../fixtures/simulated-store.js';
import { temporaryFolder } from '../fixtures/temporary-folder.js';
import {
	childrenOf,
	type Ended,
	freePort,
	isAlive,
	lossesOf,
	newestTensors,
	rankEnvironments,
	runAll,
	start,
	startRanks,
	tinyRun,
} from './launched.js';

const folder = temporaryFolder(t);
const store = join(folder, 'store');
const config = join(folder, 'train.json');
const settings: TrainConfigInput = {
	...tinyRun,
	tuningEvery: 0,
	checkpointEvery: 5,
	parallel: { virtualShards: 2 },
};

t.before(async () => {
	await (await simulatedStore(folder)).close();
	writeFileSync(config, JSON.stringify(settings));
});

const train = (run: string, ...more: string[]) => ['train', store, join(folder, run), '--config', config, ...more];
const all = (ranks: readonly { readonly ended: Promise<Ended> }[]) => Promise.all(ranks.map(({ ended }) => ended));

/** Steps in the metrics of a run so far. */
function stepsOf(run: string): number {
	const file = join(folder, run, 'metrics.jsonl');
	return existsSync(file) ? readFileSync(file, 'utf8').split('\n').length - 1 : 0;
}
async function reaches(run: string, steps: number): Promise<void> {
	for (let i = 0; i < 6000 && stepsOf(run) < steps; i++) await sleep(10);
}
/** Until a checkpoint is on its way: its folder has no name of its own yet. */
async function writesCheckpoint(run: string): Promise<void> {
	const parent = join(folder, run, 'checkpoints');
	const isWritten = () => existsSync(parent) && readdirSync(parent).some((name) => name.endsWith('.tmp'));
	for (let i = 0; i < 20_000 && !isWritten(); i++) await sleep(1);
}
const skip = process.platform === 'linux' ? false : 'reads /proc';

t.test('ranks of other configurations are refused, and the field is named once', async (t) => {
	const [first, second] = rankEnvironments(2, await freePort());
	const ended = await all([
		start(train('other', '--steps', '3'), first),
		start(train('other', '--steps', '3', '--seed', '9'), second),
	]);
	for (const { code } of ended) t.equal(code, 8);
	t.match(ended[0]!.stderr, /train\.seed must be the same for all ranks but is 9 on rank 1 and 1 on rank 0/);
	t.equal(ended[1]!.stderr, '', 'rank 0 has said it');
	t.notOk(existsSync(join(folder, 'other')), 'nothing was begun');
});

t.test('a rank that does not come, one that is there twice, and a port in use are named', async (t) => {
	const [first, second] = rankEnvironments(2, await freePort());
	const missing = await start(train('x', '--steps', '3', '--rendezvous-timeout', '2'), first).ended;
	t.equal(missing.code, 8);
	t.match(missing.stderr, /all 2 ranks must come within 2 s but rank 1 did not/);

	const alone = await start(train('x', '--steps', '3', '--rendezvous-timeout', '1'), second).ended;
	t.equal(alone.code, 8);
	t.match(
		alone.stderr,
		/rank 0 must serve 127\.0\.0\.1:\d+ .* within 1 s but rank 1 finds nothing there \(ECONNREFUSED\)/,
	);

	const busy = createServer();
	await new Promise<void>((resolve) => busy.listen(0, '127.0.0.1', resolve));
	const { port } = busy.address() as { readonly port: number };
	const refused = await start(train('x', '--steps', '3'), rankEnvironments(2, port)[0]).ended;
	t.equal(refused.code, 8);
	t.match(refused.stderr, new RegExp(`MASTER_PORT must be free on the machine of rank 0 but ${port} is in use`));

	const astray = await start(train('x', '--steps', '3', '--rendezvous-timeout', '1'), rankEnvironments(2, port)[1])
		.ended;
	busy.close();
	t.equal(astray.code, 8, astray.stderr);
	t.match(astray.stderr, new RegExp(`meet at 127.0.0.1:${port} .*but rank 1 found no store there`));

	const unset = await start(train('x', '--steps', '3'), { WORLD_SIZE: '2', RANK: '0' }).ended;
	t.equal(unset.code, 2);
	t.match(unset.stderr, /MASTER_ADDR must be set where WORLD_SIZE is 2 but is not/);
	for (const { stderr } of [missing, alone, refused, astray, unset])
		t.equal(stderr.match(/Error \(/g)?.length, 1, 'one error');
});

t.test('a rank that fails before it joins ends those that wait for it, and they name it', async (t) => {
	const ends = async (
		name: string,
		culprit: number,
		broken: readonly [args: readonly string[], env?: Readonly<Record<string, string>>],
		message: RegExp,
	) => {
		const environments = rankEnvironments(2, await freePort());
		const ended = await all(
			environments.map((env, rank) =>
				rank === culprit
					? start(broken[0], { ...env, ...broken[1] })
					: start(train('early', '--steps', '3', '--rendezvous-timeout', '100'), env),
			),
		);
		const other = ended[1 - culprit]!;
		t.equal(ended[culprit]!.code, 2, `${name}: ${ended[culprit]!.stderr}`);
		t.match(ended[culprit]!.stderr, message, name);
		t.equal(other.code, 8, `${name}: ${other.stderr}`);
		t.match(other.stderr, /\[ranks\] .*\(process \d+ on .*\) failed before it joined the others: /, name);
		t.match(other.stderr, message, `${name}: the others say why`);
	};
	await ends('an option', 1, [train('early', '--set', 'stpes=3')], /stpes/);
	await ends('who serves', 0, [train('early', '--stpes', '3')], /stpes/);
	await ends('contradiction', 1, [train('early'), { RANK: '2' }], /RANK must be below WORLD_SIZE \(2\) but is 2/);
});

t.test('an error of one rank ends all, and the others say whose it was', async (t) => {
	const environments = rankEnvironments(2, await freePort());
	const [first, second] = [
		train('broken', '--steps', '3'),
		['train', join(folder, 'nowhere'), join(folder, 'broken'), '--config', config],
	];
	const ended = await all([start(first, environments[0]), start(second, environments[1])]);
	t.equal(ended[1]!.code, 3);
	t.match(ended[1]!.stderr, /nowhere/);
	t.equal(ended[0]!.code, 8);
	t.match(ended[0]!.stderr, /\[ranks\] rank 1 \(process \d+ on .*\) failed: .*nowhere/);
});

t.test(
	'a rank that is killed is named, and the run goes on from what rank 0 saved, on any number of ranks',
	{ skip },
	async (t) => {
		const whole = await runAll(train('whole', '--steps', '60'));
		t.equal(whole.code, 0, whole.stderr);
		const environments = rankEnvironments(2, await freePort());
		const ranks = startRanks(environments, train('killed', '--steps', '60'));
		await reaches('killed', 7);
		ranks[1]!.child.kill('SIGKILL');
		const [first, second] = await all(ranks);
		t.equal(second!.signal, 'SIGKILL');
		t.equal(first!.code, 8);
		t.match(first!.stderr, /\[ranks\] rank 1 \(process \d+ on .*\) ended without a word: killed, or out of memory/);
		t.equal((await runAll(['train', store, join(folder, 'killed'), '--resume'])).code, 0, 'resumed on one');
		t.same(lossesOf(join(folder, 'killed')), lossesOf(join(folder, 'whole')));
		t.same(newestTensors(join(folder, 'killed')), newestTensors(join(folder, 'whole')));
	},
);

t.test(
	'launch starts all ranks again after a death, of a part of a checkpoint too, and the end is that of an uninterrupted run',
	{ skip },
	async (t) => {
		const launched = start([
			...['launch', '-n', '2', '--max-restarts', '3'],
			...train('again', '--steps', '60', '--set', 'parallel.kind=zero2'),
		]);
		const kill = async (rank: number) => {
			process.kill(childrenOf(launched.child.pid!)[rank]!, 'SIGKILL');
			await sleep(500);
		};
		await reaches('again', 4);
		await kill(0);
		for (const [at, rank] of [
			[8, 1],
			[20, 0],
		] as const) {
			await reaches('again', at);
			await writesCheckpoint('again');
			await kill(rank);
		}
		const ended = await launched.ended;
		t.equal(ended.code, 0, ended.stderr);
		t.match(ended.stderr, /rank 0 \(process \d+\) was ended by SIGKILL; all ranks were ended/);
		t.match(ended.stderr, /all ranks are started again, 3 of at most 3 times/);
		t.same(lossesOf(join(folder, 'again')), lossesOf(join(folder, 'whole')));
		t.same(newestTensors(join(folder, 'again')), newestTensors(join(folder, 'whole')));
		const left = readdirSync(join(folder, 'again', 'checkpoints'));
		t.ok(
			left.every((name) => /^step-\d+$/.test(name)),
			`nothing else is left: ${left}`,
		);
	},
);

t.test('a rank that hangs is named by its silence, and nothing is left of any', { skip }, async (t) => {
	const launched = start(['launch', '-n', '2', ...train('hung', '--steps', '100000')]);
	await reaches('hung', 3);
	const pids = childrenOf(launched.child.pid!);
	t.equal(pids.length, 2);
	process.kill(pids[1]!, 'SIGSTOP');
	const stopped = performance.now();
	const ended = await launched.ended;
	const seconds = (performance.now() - stopped) / 1000;
	t.not(ended.code, 0);
	// Without the launcher's patience with ranks that save: it sees that this one is stopped.
	t.ok(seconds < 12 + 9, `all had ended ${seconds.toFixed(1)} s after it was stopped`);
	t.equal(ended.stderr.match(/Error \(/g)?.length, 1, 'one error');
	t.match(ended.stderr, /rank 1 \(process \d+ on .*\) has given no sign of life for 12 s/);
	for (const pid of pids) t.notOk(isAlive(pid), 'no process is left');
});

// They wait for most of their time.
t.test(
	'a rank stopped early is named, one that went on names itself, of two ranks 0 both are told',
	{ skip },
	async (t) => {
		const early = async () => {
			const launched = start(['launch', '-n', '2', ...train('early-stop', '--steps', '100000')]);
			for (let i = 0; i < 1000 && childrenOf(launched.child.pid!).length < 2; i++) await sleep(10);
			// Stopped before it has begun its program, a process holds up the one that starts it.
			await sleep(200);
			const pids = childrenOf(launched.child.pid!);
			process.kill(pids[1]!, 'SIGSTOP');
			const stopped = performance.now();
			const { code, stderr } = await launched.ended;
			t.equal(code, 8, stderr);
			t.match(
				stderr,
				new RegExp(`rank 1 \\(process ${pids[1]}\\) was stopped by a signal 19 s ago; all ranks are ended`),
			);
			t.ok(performance.now() - stopped < 30_000, 'though all may wait for 300 s until they have met');
			for (const pid of pids) t.notOk(isAlive(pid), 'no process is left');
		};
		const goesOn = async () => {
			const environments = rankEnvironments(2, await freePort());
			const [first, second] = startRanks(environments, train('paused', '--steps', '100000'));
			await reaches('paused', 3);
			second!.child.kill('SIGSTOP');
			const { stderr } = await first!.ended;
			t.match(stderr, /\[ranks\] rank 1 \(process \d+ on .*\) has given no sign of life for 12 s/);
			second!.child.kill('SIGCONT');
			const ended = await second!.ended;
			t.equal(ended.code, 8, ended.stderr);
			t.match(ended.stderr, /\[ranks\] rank 1 \(process \d+ on .*\) was stopped for \d+ s itself: the others/);
			t.notMatch(ended.stderr, /rank 0/, 'and none of the others');
		};
		const twice = async () => {
			const [first] = rankEnvironments(2, await freePort());
			const ended = await all([0, 1].map(() => start(train('twice', '--steps', '3'), first)));
			for (const { code, stderr, seconds } of ended) {
				t.equal(code, 8, stderr);
				t.match(
					stderr,
					/RANK must be one process's own but rank 0 \(process \d+ .* already, and rank 0 \(process \d+ /,
				);
				t.ok(seconds < 30, `one of two ranks 0 had ended after ${seconds.toFixed(1)} s`);
			}
		};
		await Promise.all([early(), goesOn(), twice()]);
	},
);

t.test('Ctrl-C of the launcher stops all ranks at a safe point; its death ends them', { skip }, async (t) => {
	const launched = start([
		...['launch', '-n', '2'],
		...train('stopped', '--steps', '100000', '--set', 'parallel.kind=zero1', '--set', 'checkpointEvery=0'),
	]);
	await reaches('stopped', 3);
	launched.child.kill('SIGINT');
	const ended = await launched.ended;
	t.equal(ended.code, 130, ended.stderr);
	t.ok(Object.keys(newestTensors(join(folder, 'stopped'))).length > 0, 'the last step was saved');

	const other = start(['launch', '-n', '2', ...train('orphans', '--steps', '100000')]);
	await reaches('orphans', 3);
	const pids = childrenOf(other.child.pid!);
	other.child.kill('SIGKILL');
	await other.ended;
	for (let i = 0; i < 1000 && pids.some(isAlive); i++) await sleep(20);
	for (const pid of pids) t.notOk(isAlive(pid), 'no process is left');
});
