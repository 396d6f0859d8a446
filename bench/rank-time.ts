/**
 * What do ranks lose to communication? `npm run bench -- rank-time [--steps 15] [--rounds 1] [--json FILE]`. Two ranks of one thread each
 * train by each kind over loopback; in turns with them two processes that are not connected train half as many tokens an update
 * each, at the same time, and one process of two threads trains them all. Medians over all steps but the first five of each run.
 *
 * Gradients of `ddp`, `zero2` and `zero3` travel during the backward pass, those of `zero1` behind it: what communication costs
 * overlapped and not. Its share depends on the tokens of an update: communication grows with the parameters alone.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import yargs from 'yargs';
import { hideBin } from 'yargs/helpers';
import type { StepMetrics, TrainConfigInput } from '../lib/index.js';
import { simulatedStore } from '../test/fixtures/simulated-store.js';
import { trainRuns } from '../test/ranks/launched.js';
import { bareRun } from './ranks/bare-run.js';

const options = await yargs(hideBin(process.argv))
	.scriptName('npm run bench -- rank-time')
	.option('steps', { type: 'number', default: 15 })
	.option('rounds', { type: 'number', default: 1 })
	.option('tokens', { type: 'number', default: 4096, describe: 'Of an update, all ranks together' })
	.option('layers', { type: 'number', default: 4 })
	.option('hidden', { type: 'number', default: 256 })
	.option('json', { type: 'string', describe: 'File for the rows' })
	.strict()
	.parseAsync();

const { steps, rounds, tokens, layers, hidden } = options;
const warmUp = 5;
const base: TrainConfigInput = {
	...bareRun(options),
	contextTokens: 96,
	futureTokens: 32,
	tokensPerStep: tokens,
	steps,
};

/** What is timed, and how its processes are started. */
interface Way {
	readonly name: string;
	readonly config: TrainConfigInput;
	/** 1: `processes` of their own, which know nothing of one another. */
	readonly ranks: number;
	readonly processes: number;
	readonly threads: number;
}
const ofKind = (kind: 'ddp' | 'zero1' | 'zero2' | 'zero3'): Way => ({
	name: kind,
	config: { ...base, parallel: { kind } },
	ranks: 2,
	processes: 1,
	threads: 1,
});
const apart = 'two processes, not connected, half of the tokens each';
const alone = 'one process of two threads';
const ways: readonly Way[] = [
	{ name: apart, config: { ...base, tokensPerStep: tokens / 2 }, ranks: 1, processes: 2, threads: 1 },
	{ name: alone, config: { ...base, threads: 2 }, ranks: 1, processes: 1, threads: 2 },
	...(['ddp', 'zero1', 'zero2', 'zero3'] as const).map(ofKind),
];

const folder = mkdtempSync(join(tmpdir(), 'ehr-jepa-rank-time-'));
await (await simulatedStore(folder)).close();
const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;

/** Milliseconds of each step, waiting for its batches included. */
function millisecondsOf(run: string): number[] {
	const lines = readFileSync(join(run, 'metrics.jsonl'), 'utf8').trim().split('\n');
	return lines
		.map((line) => JSON.parse(line) as StepMetrics)
		.slice(warmUp)
		.map(({ stepMs, waitMs }) => stepMs + waitMs);
}

async function timed({ config, ranks, processes, threads }: Way): Promise<number[]> {
	const env = { OMP_NUM_THREADS: String(threads) };
	const runs = Array.from({ length: processes }, (_, i) => join(folder, `runs-${i}`));
	await Promise.all(runs.map((run) => trainRuns(join(folder, 'store'), run, [config], ranks, { env })));
	const found = runs.flatMap((run) => millisecondsOf(join(run, 'run-0')));
	for (const run of runs) rmSync(run, { recursive: true });
	return found;
}

const found = new Map<string, number[]>();
for (let round = 0; round < rounds; round++) {
	for (const way of ways) {
		found.set(way.name, [...(found.get(way.name) ?? []), ...(await timed(way))]);
		console.error(`round ${round + 1} of ${rounds}: ${way.name}: ${median(found.get(way.name)!).toFixed(0)} ms a step`);
	}
}
rmSync(folder, { recursive: true });

const [computing, together] = [median(found.get(apart)!), median(found.get(alone)!)];
const rows = ways.map(({ name, ranks }) => {
	const ms = median(found.get(name)!);
	return {
		name,
		ms,
		tokensPerSecond: (1000 * tokens) / ms,
		/** Of a step, beyond the steps of processes that are not connected. */
		lost: ranks === 1 ? null : 1 - computing / ms,
		/** Tokens a second, as a share of those of one process of two threads. */
		ofOneProcess: together / ms,
	};
});
for (const { name, ms, tokensPerSecond, lost, ofOneProcess } of rows) {
	const share = lost === null ? '' : `, ${(100 * lost).toFixed(1)} % of it lost to communication`;
	console.log(
		`${name}: ${ms.toFixed(0)} ms a step${share}; ${tokensPerSecond.toFixed(0)} tokens/s, ${ofOneProcess.toFixed(2)} of one process of two threads`,
	);
}
if (options.json !== undefined) {
	const machine = { processor: cpus()[0]?.model, cores: cpus().length };
	writeFileSync(
		options.json,
		`${JSON.stringify({ machine, layers, hidden, tokens, steps, rounds, rows }, undefined, '\t')}\n`,
	);
}
