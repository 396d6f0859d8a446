/** Two machines, as far as the network goes: a namespace each, with a cable between them. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { simulatedStore } from '../fixtures/simulated-store.js';
import { temporaryFolder } from '../fixtures/temporary-folder.js';
import { bin, lossesOf, newestTensors, runAll, startProgram, tinyRun } from './launched.js';

const folder = temporaryFolder(t);
const config = join(folder, 'train.json');
const hosts = [0, 1].map((host) => ({
	name: `ehr-jepa-${process.pid}-${host}`,
	cable: `ej${process.pid % 100_000}.${host}`,
	address: `10.231.7.${host + 1}`,
}));
const [first, second] = hosts as [(typeof hosts)[0], (typeof hosts)[0]];

const ip = (...args: string[]) => spawnSync('ip', args, { encoding: 'utf8' });
/** Why there are no such machines here; undefined when there are. */
function setUp(): string | undefined {
	if (process.platform !== 'linux') return 'needs network namespaces of Linux';
	const steps = [
		...hosts.map(({ name }) => ['netns', 'add', name]),
		[
			'link',
			'add',
			first.cable,
			'netns',
			first.name,
			'type',
			'veth',
			'peer',
			'name',
			second.cable,
			'netns',
			second.name,
		],
		...hosts.flatMap(({ name, cable, address }) => [
			['-n', name, 'address', 'add', `${address}/24`, 'dev', cable],
			['-n', name, 'link', 'set', 'lo', 'up'],
			['-n', name, 'link', 'set', cable, 'up'],
		]),
	];
	for (const step of steps) {
		const { status, stderr, error } = ip(...step);
		if (status !== 0) return `ip ${step.join(' ')}: ${error?.message ?? stderr.trim()}; run as root, with iproute2`;
	}
	return undefined;
}
const missing = setUp();
t.teardown(() => {
	for (const { name } of hosts) ip('netns', 'delete', name);
});

t.before(async () => {
	if (missing !== undefined) return;
	await (await simulatedStore(folder)).close();
	writeFileSync(config, JSON.stringify({ ...tinyRun, tuningEvery: 0, parallel: { virtualShards: 2 } }));
});

const train = (run: string, steps: number) => [
	...['train', join(folder, 'store'), join(folder, run), '--config', config, '--steps', String(steps)],
];
/** A rank on each of the machines; they meet at the first. */
const startOnHosts = (args: readonly string[]) =>
	hosts.map(({ name }, rank) =>
		startProgram('ip', ['netns', 'exec', name, process.execPath, bin, ...args], {
			...{ RANK: String(rank), WORLD_SIZE: '2', LOCAL_RANK: '0', LOCAL_WORLD_SIZE: '1' },
			...{ MASTER_ADDR: first.address, MASTER_PORT: '29500' },
		}),
	);

t.test('two machines train the run of one process', { skip: missing ?? false }, async (t) => {
	const [alone, ...ended] = await Promise.all([
		runAll(train('alone', 3)),
		...startOnHosts(train('both', 3)).map(({ ended }) => ended),
	]);
	for (const { code, stderr } of [alone!, ...ended]) t.equal(code, 0, stderr);
	t.same(lossesOf(join(folder, 'both')), lossesOf(join(folder, 'alone')));
	t.same(newestTensors(join(folder, 'both')), newestTensors(join(folder, 'alone')));
});

t.test(
	'a network that is cut ends all ranks, and each names the one it lost',
	{ skip: missing ?? false },
	async (t) => {
		const ranks = startOnHosts(train('cut', 1_000_000));
		const metrics = join(folder, 'cut', 'metrics.jsonl');
		for (let i = 0; i < 6000 && !(existsSync(metrics) && readFileSync(metrics, 'utf8').split('\n').length > 3); i++)
			await sleep(10);
		t.equal(ip('-n', second.name, 'link', 'set', second.cable, 'down').status, 0);
		const cut = performance.now();
		const [one, other] = await Promise.all(ranks.map(({ ended }) => ended));
		const seconds = (performance.now() - cut) / 1000;
		t.match(one, { code: 8, stderr: /\[ranks\] rank 1 \(process \d+ on .*\) has given no sign of life for 12 s/ });
		t.match(other, { code: 8, stderr: /\[ranks\] rank 0 / });
		// What is promised, whatever the machine is busy with.
		t.ok(seconds < 30, `all had ended ${seconds.toFixed(1)} s after the cut`);
		t.ok(Object.keys(newestTensors(join(folder, 'cut'))).length > 0, 'rank 0 has saved the last whole step');
	},
);
