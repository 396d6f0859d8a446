import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';

export interface LaunchOptions {
	/** Program and arguments of every rank. */
	readonly command: readonly [string, ...string[]];
	/** Processes on this machine. */
	readonly processes: number;
	readonly nodes: number;
	/** Which of the machines this is. */
	readonly nodeRank: number;
	readonly address: string;
	/** Absent: a free one, on one machine. */
	readonly port: number | undefined;
	/** How often all ranks are started again after one has failed. */
	readonly maxRestarts: number;
	/** Where the launcher's own lines go. */
	readonly say: (line: string) => void;
}

interface Rank {
	readonly number: number;
	readonly child: ChildProcess;
	readonly ended: Promise<Ending>;
}
interface Ending {
	readonly rank: number;
	readonly process: number | undefined;
	readonly code: number | null;
	readonly signal: NodeJS.Signals | null;
}

// The ranks that are left see themselves that one is gone, and rank 0 saves what it has; then they are ended. One that hangs is missed
// after up to 18 s (rank 0, which serves the store), and all are to have ended within 30.
const graceMs = 10_000;
// One that a signal has stopped before it met the others is missed by nobody: they wait for it as for one on its way.
const stoppedSeconds = 19;
const graceAfterStopMs = 5_000;
/** Exit code of a rank that another one's failure ended; lib/cli/exit-codes.ts has the same. */
const endedByOther = 8;

/**
 * Starts the ranks of this machine and waits for them: rank 0 has the terminal's output, of the others stderr alone is
 * shown, each line with its rank. When one fails all are ended, and started again where restarts are left.
 *
 * @returns The exit code: 0 when every rank ended with it, or that of the first that failed.
 */
export async function launchRanks(options: LaunchOptions): Promise<number> {
	const forwarded = new Set<NodeJS.Signals>();
	let running: readonly Rank[] = [];
	const forward = (signal: NodeJS.Signals) => {
		forwarded.add(signal);
		for (const { child } of running) child.kill(signal);
	};
	const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
	for (const signal of signals) process.on(signal, forward);
	try {
		for (let attempt = 0; ; attempt++) {
			running = await startRanks(options, attempt);
			// A signal may have come while they were started.
			for (const signal of forwarded) for (const { child } of running) child.kill(signal);
			const failed = await firstFailure(running, options.say);
			if (failed === undefined) return 0;
			if (failed.code !== endedByOther && forwarded.size === 0) options.say(describe(failed));
			const code = failed.code ?? 128 + signalNumber(failed.signal);
			if (forwarded.size > 0 || attempt >= options.maxRestarts) return code;
			options.say(`all ranks are started again, ${attempt + 1} of at most ${options.maxRestarts} times`);
		}
	} finally {
		for (const signal of signals) process.off(signal, forward);
	}
}

async function startRanks(options: LaunchOptions, attempt: number): Promise<Rank[]> {
	const { processes, nodes, nodeRank, address, say } = options;
	const port = options.port ?? (await freePort(address));
	return Array.from({ length: processes }, (_, localRank) => {
		const number = nodeRank * processes + localRank;
		const [program, ...args] = options.command;
		const child = spawn(program, args, {
			env: {
				...process.env,
				RANK: String(number),
				WORLD_SIZE: String(nodes * processes),
				LOCAL_RANK: String(localRank),
				LOCAL_WORLD_SIZE: String(processes),
				MASTER_ADDR: address,
				MASTER_PORT: String(port),
				TORCHELASTIC_RESTART_COUNT: String(attempt),
				TORCHELASTIC_USE_AGENT_STORE: 'False',
			},
			// The channel tells a rank that the launcher is gone. In a group of processes of its own it gets Ctrl-C from here alone.
			stdio: number === 0 ? ['inherit', 'inherit', 'inherit', 'ipc'] : ['ignore', 'ignore', 'pipe', 'ipc'],
			detached: true,
		});
		if (child.stderr !== null) {
			createInterface({ input: child.stderr }).on('line', (line) => say(`[rank ${number}] ${line}`));
		}
		const ended = new Promise<Ending>((resolve) => {
			const end = (code: number | null, signal: NodeJS.Signals | null) =>
				resolve({ rank: number, process: child.pid, code, signal });
			child.once('error', (error) => {
				say(`rank ${number} could not be started: ${error.message}`);
				end(1, null);
			});
			child.once('close', end);
		});
		return { number, child, ended };
	});
}

/** Waits until all have ended, and ends those that are left some time after the first failure. @returns That failure. */
async function firstFailure(ranks: readonly Rank[], say: (line: string) => void): Promise<Ending | undefined> {
	let first: Ending | undefined;
	let timer: NodeJS.Timeout | undefined;
	const endedFromHere = new Set<number>();
	const end = (which: (rank: Rank) => boolean) => {
		for (const rank of ranks) {
			const { number, child } = rank;
			if (child.exitCode !== null || child.signalCode !== null || !which(rank)) continue;
			endedFromHere.add(number);
			child.kill('SIGKILL');
		}
	};
	const fail = (ending: Ending, grace: number) => {
		// One that others' failure ended is not the cause, if another one failed.
		if (first === undefined || (first.code === endedByOther && ending.code !== endedByOther)) first = ending;
		if (timer !== undefined) return;
		timer = setTimeout(end, grace, () => true);
		// It will not end by itself.
		end(({ child }) => isStopped(child.pid));
	};
	const watch = watchStopped(ranks, ({ number, child }) => {
		if (first !== undefined) return;
		say(`rank ${number} (process ${child.pid}) was stopped by a signal ${stoppedSeconds} s ago; all ranks are ended`);
		fail({ rank: number, process: child.pid, code: endedByOther, signal: null }, graceAfterStopMs);
	});
	await Promise.all(
		ranks.map(async ({ number, ended }) => {
			const ending = await ended;
			// What was ended from here, after a failure, is not the cause.
			if (ending.code !== 0 && !endedFromHere.has(number)) fail(ending, graceMs);
		}),
	);
	clearInterval(watch);
	clearTimeout(timer);
	return first;
}

/** Tells of a rank that is found stopped each second for some time: seconds in which the launcher was stopped too do not count. */
function watchStopped(ranks: readonly Rank[], tell: (rank: Rank) => void): NodeJS.Timeout {
	const seconds = new Map<number, number>();
	return setInterval(() => {
		for (const rank of ranks) {
			const stopped = isStopped(rank.child.pid) ? (seconds.get(rank.number) ?? 0) + 1 : 0;
			seconds.set(rank.number, stopped);
			if (stopped === stoppedSeconds) tell(rank);
		}
	}, 1000);
}

/** Whether a signal has stopped a process; not known but on Linux. */
function isStopped(pid: number | undefined): boolean {
	try {
		// The state follows the name, which is in parentheses and may hold some.
		return /^\) [Tt] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*(?=\) )/s, ''));
	} catch {
		return false;
	}
}

function describe({ rank, process, code, signal }: Ending): string {
	const how = signal === null ? `ended with code ${code}` : `was ended by ${signal}`;
	return `rank ${rank} (process ${process}) ${how}; all ranks were ended`;
}

function signalNumber(signal: NodeJS.Signals | null): number {
	return { SIGHUP: 1, SIGINT: 2, SIGKILL: 9, SIGSEGV: 11, SIGTERM: 15, SIGABRT: 6 }[signal as string] ?? 0;
}

function freePort(address: string): Promise<number> {
	return new Promise((resolve, reject) => {
		const server = createServer();
		server.once('error', reject);
		server.listen(0, address, () => {
			const { port } = server.address() as { readonly port: number };
			server.close(() => resolve(port));
		});
	});
}
