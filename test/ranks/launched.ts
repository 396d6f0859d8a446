import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { StepMetrics, TrainConfigInput } from '../../lib/index.js';
import type { TuningMetrics } from '../../lib/train/metrics.js';
import type { ParallelOptions } from '../../lib/train/parallel-options.js';
import { tinyModel } from '../fixtures/tiny-model.js';

/** A run of seconds. */
export const tinyRun = {
	model: tinyModel,
	contextTokens: 48,
	futureTokens: 24,
	tokensPerStep: 256,
	computeDtype: 'float32',
	threads: 1,
	instruments: null,
} as const satisfies TrainConfigInput;

export const bin = fileURLToPath(new URL('../../../scripts/ehr-jepa.mjs', import.meta.url));

export interface Ended {
	readonly code: number | null;
	readonly signal: NodeJS.Signals | null;
	readonly stdout: string;
	readonly stderr: string;
	readonly seconds: number;
}

/** Starts the command line. @param env - Beside that of the test. */
export function start(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
	return startProgram(process.execPath, [bin, ...args], env);
}

/** Two ranks by PyTorch's launcher. @param options - Of torchrun. */
export function startTorchrun(python: string, options: readonly string[], args: readonly string[]) {
	const torchrun = ['-m', 'torch.distributed.run', '--standalone', '--no-python', '--nproc-per-node', '2', ...options];
	return startProgram(python, [...torchrun, process.execPath, bin, ...args], {});
}

export function startProgram(program: string, args: readonly string[], env: Readonly<Record<string, string>>) {
	const started = performance.now();
	const child = spawn(program, args, {
		env: { ...process.env, OMP_NUM_THREADS: '1', ...env },
		stdio: ['ignore', 'pipe', 'pipe'],
	});
	let [stdout, stderr] = ['', ''];
	child.stdout.on('data', (text: Buffer) => {
		stdout += text.toString();
	});
	child.stderr.on('data', (text: Buffer) => {
		stderr += text.toString();
	});
	const ended = new Promise<Ended>((resolve) =>
		child.once('close', (code, signal) =>
			resolve({ code, signal, stdout, stderr, seconds: (performance.now() - started) / 1000 }),
		),
	);
	return { child, ended, stderr: () => stderr };
}

const runsOfRank = fileURLToPath(new URL('runs-of-rank.js', import.meta.url));
/** A run that begins, or the folder of one that goes on to so many steps in all. */
export type RunOfRanks =
	| TrainConfigInput
	| { readonly goesOn: string; readonly steps: number; readonly kind?: ParallelOptions['kind'] | undefined };
/**
 * What one rank measured of each of several runs: bytes that it sent in its second update (0 without one), those of them that a device
 * had, and its memory.
 */
export type RunOfRank = { readonly all: number; readonly staged: number; readonly peakRss: number };

/**
 * Trains several runs one after another in the same processes, into `folder/run-0`, `folder/run-1` ...
 *
 * @param ranks - 1: a process on its own. @param env - Of all of them.
 * @returns By rank, what it measured of each run.
 */
export async function trainRuns(
	store: string,
	folder: string,
	runs: readonly RunOfRanks[],
	ranks: number,
	{ device = 'cpu', env = {} }: { readonly device?: 'cpu' | 'cuda'; readonly env?: Record<string, string> } = {},
): Promise<RunOfRank[][]> {
	const args = [runsOfRank, store, folder, JSON.stringify(runs), device];
	const environments = ranks === 1 ? [{}] : rankEnvironments(ranks, await freePort());
	const ended = environments.map((own) => startProgram(process.execPath, args, { ...env, ...own }).ended);
	return (await Promise.all(ended)).map(({ code, stdout, stderr }) => {
		if (code !== 0) throw new Error(`a rank ended with ${code}: ${stderr}`);
		return JSON.parse(stdout) as RunOfRank[];
	});
}

export const runAll = (args: readonly string[]) => start(args).ended;

/** Starts one process per environment, as torchrun and srun do. */
export function startRanks(environments: readonly Readonly<Record<string, string>>[], args: readonly string[]) {
	return environments.map((env) => start(args, env));
}

export function freePort(): Promise<number> {
	return new Promise((resolve) => {
		const server = createServer();
		server.listen(0, '127.0.0.1', () => {
			const { port } = server.address() as { readonly port: number };
			server.close(() => resolve(port));
		});
	});
}

/** The variables that torchrun sets. */
export function rankEnvironments(size: number, port: number): Record<string, string>[] {
	return Array.from({ length: size }, (_, rank) => ({
		RANK: String(rank),
		WORLD_SIZE: String(size),
		LOCAL_RANK: String(rank),
		MASTER_ADDR: '127.0.0.1',
		MASTER_PORT: String(port),
	}));
}

/** What of a run must not depend on how it was computed: its losses, without times. */
export function lossesOf(run: string): unknown[] {
	const lines = readFileSync(join(run, 'metrics.jsonl'), 'utf8').trim().split('\n');
	return lines.map((line) => {
		const { stepMs, waitMs, tokensPerSecond, checkpointMs, peakRssBytes, ms, readMs, ...rest } = JSON.parse(line);
		return rest as StepMetrics | TuningMetrics;
	});
}

/** Names and bytes of the newest checkpoint's tensors. */
export function newestTensors(run: string): Record<string, Buffer> {
	const parent = join(run, 'checkpoints');
	const newest = join(
		parent,
		readdirSync(parent)
			.filter((name) => /^step-\d+$/.test(name))
			.sort()
			.at(-1)!,
	);
	const files = readdirSync(newest).filter((name) => name.endsWith('.safetensors'));
	return Object.fromEntries(files.sort().map((name) => [name, readFileSync(join(newest, name))]));
}

/** Whether a process is there. */
export function isAlive(pid: number): boolean {
	try {
		process.kill(pid, 0);
		return true;
	} catch {
		return false;
	}
}

/** Processes that one started: of a launcher, its ranks. None where it is gone. */
export function childrenOf(pid: number): number[] {
	try {
		return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number);
	} catch {
		return [];
	}
}
