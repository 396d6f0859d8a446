/**
 * Does a run end as if nothing had happened when one of its ranks is killed? `npm run bench -- kill-trials [--trials 30] [--seed 1]
 * [--kind ddp] [--launcher launch]`. In each trial a rank that the seed draws gets SIGKILL: in every third as soon as a checkpoint
 * is being written after a step that it draws, else at a moment that it draws. The launcher starts all again; losses and tensors
 * must be those of one uninterrupted process to the byte, and no process, port or unfinished checkpoint may be left.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import yargs from 'yargs';
import { hideBin } from 'yargs/helpers';
import { RandomStream } from '../lib/random.js';
import { simulatedStore } from '../test/fixtures/simulated-store.js';
import {
	childrenOf,
	isAlive,
	lossesOf,
	newestTensors,
	runAll,
	start,
	startTorchrun,
	tinyRun,
} from '../test/ranks/launched.js';

const options = await yargs(hideBin(process.argv))
	.scriptName('npm run bench -- kill-trials')
	.option('trials', { type: 'number', default: 30 })
	.option('seed', { type: 'number', default: 1 })
	.option('steps', { type: 'number', default: 60 })
	.option('kind', { choices: ['ddp', 'zero1', 'zero2', 'zero3'] as const, default: 'ddp' as const })
	.option('launcher', { choices: ['launch', 'torchrun'] as const, default: 'launch' as const })
	.option('python', { type: 'string', default: 'python3', describe: 'Whose torchrun it is' })
	.strict()
	.parseAsync();

const { trials, seed, steps, kind, launcher } = options;
const folder = mkdtempSync(join(tmpdir(), 'ehr-jepa-kill-trials-'));
const config = join(folder, 'train.json');
const parallel = { kind, virtualShards: 2 };
writeFileSync(config, JSON.stringify({ ...tinyRun, steps, tuningEvery: 0, checkpointEvery: 5, parallel }));
const command = (run: string) => ['train', join(folder, 'store'), join(folder, run), '--config', config];

const random = new RandomStream(seed, 'bootstrap');
const uniform = () => random.uint32() / 2 ** 32;
const below = (limit: number) => Math.floor(uniform() * limit);

/** Processes of the ranks; of torchrun they are the agent's. */
const ranksOf = (pid: number) => childrenOf(pid).filter((child) => environmentOf(child).RANK !== undefined);
function environmentOf(pid: number): Record<string, string> {
	try {
		const lines = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0');
		return Object.fromEntries(lines.map((line) => [line.split('=')[0]!, line.slice(line.indexOf('=') + 1)]));
	} catch {
		return {};
	}
}
async function until(holds: () => boolean, pause: number): Promise<void> {
	for (const end = performance.now() + 300_000; !holds() && performance.now() < end; ) await sleep(pause);
}
const isListening = (port: number) =>
	new Promise<boolean>((resolve) => {
		const socket = connect({ host: '127.0.0.1', port });
		socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
		socket.once('connect', () => socket.destroy());
	});

async function trial(number: number): Promise<{ readonly at: string; readonly faults: string[] }> {
	const run = `trial-${number}`;
	const metrics = join(folder, run, 'metrics.jsonl');
	const checkpoints = join(folder, run, 'checkpoints');
	const launched =
		launcher === 'launch'
			? start(['launch', '-n', '2', '--max-restarts', '3', ...command(run)])
			: startTorchrun(options.python, ['--max-restarts', '3', '--monitor-interval', '0.2'], command(run));
	const pids = new Set<number>();
	let ended = false;
	const finished = launched.ended.finally(() => {
		ended = true;
	});
	let ranks: readonly number[] = [];
	let port = Number.NaN;
	const areThere = () => {
		ranks = ranksOf(launched.child.pid!);
		port = Number(environmentOf(ranks[0]!).MASTER_PORT);
		return ranks.length === 2 && port > 0;
	};
	await until(() => ended || areThere(), 10);
	if (!(port > 0)) throw new Error(`no two ranks came: ${launched.stderr()}`);
	for (const pid of ranks) pids.add(pid);
	const victim = below(2);
	const whole = number % 3 === 2;
	// A sixth of the moments lie before the first step, while ranks start and meet.
	const drawn = (uniform() * 1.2 - 0.2) * (steps - 2);
	const delay = uniform();
	const stepsMade = () => (existsSync(metrics) ? readFileSync(metrics, 'utf8').split('\n').length - 1 : 0);
	const writes = () => existsSync(checkpoints) && readdirSync(checkpoints).some((name) => name.endsWith('.tmp'));
	if (drawn < 0) await sleep(2000 * delay);
	else await until(() => ended || stepsMade() >= drawn, 2);
	if (whole) await until(() => ended || writes(), 1);
	else if (drawn >= 0) await sleep(30 * delay);
	const made = stepsMade();
	if (!ended && isAlive(ranks[victim]!)) process.kill(ranks[victim]!, 'SIGKILL');
	const watch = setInterval(() => {
		for (const pid of ended ? [] : ranksOf(launched.child.pid!)) pids.add(pid);
	}, 50);
	const { code, stderr } = await finished;
	clearInterval(watch);
	await until(() => ![...pids].some(isAlive), 20);
	const faults: string[] = [];
	const require = (holds: boolean, what: string) => {
		if (!holds) faults.push(what);
	};
	require(code === 0, `ended with ${code}: ${stderr.slice(-500)}`);
	if (code === 0) {
		const same = (of: (run: string) => unknown) =>
			JSON.stringify(of(join(folder, run))) === JSON.stringify(of(join(folder, 'whole')));
		require(same(lossesOf), 'other losses');
		require(same(newestTensors), 'other tensors');
	}
	require(![...pids].some(isAlive), 'a process is left');
	require(!(await isListening(port)), `port ${port} is left open`);
	require(readdirSync(checkpoints).every((name) => /^step-\d+$/.test(name)), 'an unfinished checkpoint is left');
	const moment = whole ? 'in a checkpoint' : 'at any moment';
	return { at: `rank ${victim}, ${moment}, after ${made} steps, ${pids.size - 2} ranks started again`, faults };
}

await (await simulatedStore(folder)).close();
const whole = await runAll(command('whole'));
if (whole.code !== 0) throw new Error(whole.stderr);
let failed = 0;
for (let number = 0; number < trials; number++) {
	const { at, faults } = await trial(number);
	if (faults.length > 0) failed++;
	else rmSync(join(folder, `trial-${number}`), { recursive: true });
	console.log(`trial ${number + 1}: ${at}: ${faults.length === 0 ? 'the same to the byte' : faults.join('; ')}`);
}
console.log(`${kind}, ${launcher}, seed ${seed}: ${trials - failed} of ${trials} trials end as the uninterrupted run`);
process.exitCode = failed === 0 ? 0 : 1;
if (failed === 0) rmSync(folder, { recursive: true });
else console.log(`kept: ${folder}`);
