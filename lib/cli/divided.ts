import { ConfigError } from '../errors.js';
import { divideWork } from '../ranks/divide-work.js';
import type { Shard, WorkDivision } from '../ranks/work-division.js';
import { type CommandContext, withContext } from './context.js';
import { isSilentRank } from './rank-output.js';
import { groupOptions, withGroup } from './with-group.js';

/** Options of the commands whose work several processes can share. */
export const divisionOptions = {
	shard: { type: 'string', describe: 'i/n: the i-th of n shares alone, beside other jobs (docs/cluster.md)' },
	assemble: { type: 'boolean', default: false, describe: 'Write the file when all shards are done' },
	...groupOptions,
} as const;

interface DividedArguments {
	readonly out: string;
	readonly json?: unknown;
	readonly shard?: string | undefined;
	readonly assemble?: boolean | undefined;
	readonly rendezvousTimeout?: number | undefined;
	readonly collectiveTimeout?: number | undefined;
}

// Shares of one work may last very differently; a rank that dies or hangs is seen all the same.
const collectiveTimeout = 7 * 24 * 3600;

/**
 * Runs a command that computes pieces and ends in one file: alone, as a shard, to assemble shards, or with the other ranks of its launcher.
 *
 * @param run - Writes the file and prints the result if this process does.
 */
export async function divided(
	command: string,
	args: DividedArguments,
	run: (context: CommandContext, division: WorkDivision) => Promise<void>,
): Promise<void> {
	const { out, assemble = false } = args;
	const shard = shardOf(command, args);
	await withContext(
		Boolean(args.json),
		(context) =>
			withGroup(context, { collectiveTimeout, ...withoutAbsent(args) }, async (group, joined) => {
				if (group !== undefined && (shard !== undefined || assemble))
					throw new ConfigError(
						`[${command}] --shard and --assemble must be absent where WORLD_SIZE is set (${group.size}), which divides the work already; leave them out`,
					);
				const how = shard !== undefined ? { shard } : assemble ? { assemble } : { group };
				const division = divideWork(command, out, how as Parameters<typeof divideWork>[2]);
				await run(joined, division);
				await division.finish();
				if (shard !== undefined)
					context.result(`${out}: shard ${args.shard} is done; --assemble writes the file when all are`, {
						out,
						shard: args.shard,
					});
			}),
		{ silent: isSilentRank() },
	);
}

function withoutAbsent({ rendezvousTimeout, collectiveTimeout }: DividedArguments) {
	return {
		...(rendezvousTimeout === undefined ? {} : { rendezvousTimeout }),
		...(collectiveTimeout === undefined ? {} : { collectiveTimeout }),
	};
}

/**
 * `i/n` of `--shard`; undefined without it.
 *
 * @throws {ConfigError} Where it is no such pair, or stands with `--assemble`.
 */
export function shardOf(
	command: string,
	{ shard, assemble }: { readonly shard?: string | undefined; readonly assemble?: boolean | undefined },
): Shard | undefined {
	if (shard === undefined) return undefined;
	if (assemble)
		throw new ConfigError(`[${command}] --shard must stand without --assemble, which comes when all shards are done`);
	const found = /^(\d+)\/(\d+)$/.exec(shard);
	if (found !== null) return { index: Number(found[1]), of: Number(found[2]) };
	throw new ConfigError(`[${command}] --shard must be i/n, such as 2/8, but is ${shard}`);
}
