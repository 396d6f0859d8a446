import { ConfigError } from '../errors.js';

/** Where a process stands among those that train one model, as its launcher told it by the environment. */
export interface Place {
	readonly rank: number;
	readonly worldSize: number;
	/** Among the processes of its machine. */
	readonly localRank: number;
	/** Processes of its machine. */
	readonly localSize: number;
	/** Where the ranks meet. */
	readonly address: string;
	readonly port: number;
	/** Whether the launcher serves the store at that address, as torchrun does; otherwise rank 0 does. */
	readonly launcherServes: boolean;
	/** How often the launcher has started all ranks again. */
	readonly attempt: number;
}

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The place of this process: from RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT, which torchrun, `ehr-jepa launch` and
 * Kubernetes' PyTorchJob set, or from SLURM's own variables of a step.
 *
 * @returns Undefined for a process on its own: without WORLD_SIZE, or with 1.
 * @throws {ConfigError} For a variable that is missing, or contradicts another.
 */
export function placeInEnvironment(environment: Environment = process.env): Place | undefined {
	const env = withoutEmpty(environment);
	const all = env.WORLD_SIZE === undefined && env.RANK === undefined ? fromSlurm(env) : env;
	if (all === undefined) return undefined;
	if (all.WORLD_SIZE === undefined)
		throw missing('WORLD_SIZE', `RANK is ${all.RANK}`, 'set both, or neither for a process on its own');
	const worldSize = wholeNumber(all, 'WORLD_SIZE', 1, 65_536);
	if (all.RANK === undefined)
		throw missing('RANK', `WORLD_SIZE is ${worldSize}`, 'set both, or neither for a process on its own');
	const rank = wholeNumber(all, 'RANK', 0, 65_535);
	if (rank >= worldSize)
		throw new ConfigError(`[ranks] RANK must be below WORLD_SIZE (${worldSize}) but is ${rank}; ranks count from 0`);
	const localRank = all.LOCAL_RANK === undefined ? 0 : wholeNumber(all, 'LOCAL_RANK', 0, 65_535);
	const local = all.LOCAL_WORLD_SIZE === undefined ? worldSize : wholeNumber(all, 'LOCAL_WORLD_SIZE', 1, worldSize);
	if (localRank >= local)
		throw new ConfigError(
			`[ranks] LOCAL_RANK must be below the number of processes of the machine (${local}) but is ${localRank}`,
		);
	if (localRank > rank)
		throw new ConfigError(
			`[ranks] LOCAL_RANK must be at most RANK (${rank}), which counts the processes of all machines, but is ${localRank}; let the launcher set both`,
		);
	refuseOtherSlurmRank(env, rank, worldSize);
	if (worldSize === 1) return undefined;
	const port = all.MASTER_PORT;
	if (all.MASTER_ADDR === undefined || port === undefined)
		throw missing(
			all.MASTER_ADDR === undefined ? 'MASTER_ADDR' : 'MASTER_PORT',
			`WORLD_SIZE is ${worldSize}`,
			'start the processes with torchrun, srun or ehr-jepa launch, or set it to where rank 0 runs',
		);
	return {
		rank,
		worldSize,
		localRank,
		localSize: local,
		address: all.MASTER_ADDR,
		port: wholeNumber(all, 'MASTER_PORT', 1, 65_535),
		launcherServes: all.TORCHELASTIC_USE_AGENT_STORE === 'True',
		attempt: all.TORCHELASTIC_RESTART_COUNT === undefined ? 0 : wholeNumber(all, 'TORCHELASTIC_RESTART_COUNT', 0, 1e6),
	};
}

/**
 * Who meets others where, as far as variables that {@link placeInEnvironment} refuses still tell; undefined where they do not, or for
 * a process on its own.
 */
export function meetingPlace(
	environment: Environment = process.env,
): (Omit<Place, 'localRank' | 'localSize' | 'rank'> & { readonly rank: number | undefined }) | undefined {
	const env = withoutEmpty(environment);
	const all = env.WORLD_SIZE === undefined && env.RANK === undefined ? fromSlurm(env) : env;
	if (all === undefined) return undefined;
	const numberIn = (text: string | undefined, least: number, most: number) =>
		text !== undefined && /^\d+$/.test(text) && Number(text) >= least && Number(text) <= most
			? Number(text)
			: undefined;
	const port = numberIn(all.MASTER_PORT, 1, 65_535);
	const rank = numberIn(all.RANK, 0, 65_535);
	const worldSize = numberIn(all.WORLD_SIZE, 1, 65_536) ?? 2;
	if (all.MASTER_ADDR === undefined || port === undefined || (worldSize === 1 && rank === 0)) return undefined;
	return {
		rank,
		worldSize,
		address: all.MASTER_ADDR,
		port,
		launcherServes: all.TORCHELASTIC_USE_AGENT_STORE === 'True',
		attempt: numberIn(all.TORCHELASTIC_RESTART_COUNT, 0, 1e6) ?? 0,
	};
}

/** `srun` has numbered its tasks: a RANK of the job's script, the same for all of them, is none. */
function refuseOtherSlurmRank(env: Environment, rank: number, worldSize: number): void {
	const tasks = env.SLURM_STEP_NUM_TASKS ?? env.SLURM_NTASKS;
	// Another launcher under srun counts in its own way.
	const isLaunched = env.TORCHELASTIC_RUN_ID !== undefined || env.TORCHELASTIC_RESTART_COUNT !== undefined;
	if (isLaunched || tasks !== String(worldSize) || env.SLURM_PROCID === undefined) return;
	if (env.SLURM_PROCID !== String(rank))
		throw new ConfigError(
			`[ranks] RANK must be that of the task (SLURM_PROCID, ${env.SLURM_PROCID}) but is ${rank}; leave RANK and WORLD_SIZE out under srun`,
		);
}

/** An empty variable is one that was not set. */
function withoutEmpty(environment: Environment): Environment {
	return Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== ''));
}

function missing(name: string, because: string, fix: string): ConfigError {
	return new ConfigError(`[ranks] ${name} must be set where ${because} but is not; ${fix}`);
}

function wholeNumber(env: Environment, name: string, least: number, most: number): number {
	const text = env[name] ?? '';
	const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
	if (value >= least && value <= most) return value;
	throw new ConfigError(`[ranks] ${name} must be a whole number from ${least} to ${most} but is "${text}"`);
}

/** The same variables of a step that `srun` started with several tasks. */
function fromSlurm(env: Environment): Environment | undefined {
	const tasks = env.SLURM_STEP_NUM_TASKS ?? env.SLURM_NTASKS;
	if (env.SLURM_PROCID === undefined || tasks === undefined || tasks === '1') return undefined;
	const nodes = env.SLURM_STEP_NODELIST ?? env.SLURM_JOB_NODELIST ?? env.SLURM_NODELIST;
	const job = env.SLURM_JOB_ID ?? env.SLURM_JOBID;
	return {
		RANK: env.SLURM_PROCID,
		WORLD_SIZE: tasks,
		LOCAL_RANK: env.SLURM_LOCALID,
		MASTER_ADDR: env.MASTER_ADDR ?? (nodes === undefined ? undefined : firstHost(nodes)),
		// Below the ports that systems hand out by themselves; two jobs on one machine get two.
		MASTER_PORT: env.MASTER_PORT ?? (job === undefined ? undefined : String(20_000 + (Number(job) % 12_000))),
		TORCHELASTIC_RESTART_COUNT: env.TORCHELASTIC_RESTART_COUNT ?? env.SLURM_RESTART_COUNT,
	};
}

/** `gpu[07-09,12],login1` begins with gpu07. */
function firstHost(list: string): string {
	const [, name, first] = /^([^[,]+)(?:\[(\d+))?/.exec(list) ?? [];
	return `${name ?? list}${first ?? ''}`;
}
