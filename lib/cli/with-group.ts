import { AbortedError, EhrJepaError, RankError } from '../errors.js';
import { type GroupTimeouts, ProcessGroup } from '../ranks/process-group.js';
import type { CommandContext } from './context.js';

/** `--rendezvous-timeout` and `--collective-timeout` of commands that several processes run together. */
export const groupOptions = {
	'rendezvous-timeout': {
		type: 'number',
		describe: 'Seconds in which all processes of a run must have come (300; docs/cluster.md)',
	},
	'collective-timeout': {
		type: 'number',
		describe: 'Seconds in which all of them must have come to the next step (600)',
	},
} as const;

const told = new WeakSet<object>();

/** Tells ranks that wait for this one of an error that ended it before it had joined them. */
export async function tellWaitingRanks(error: unknown, why?: string): Promise<void> {
	if (error instanceof RankError || error instanceof AbortedError || told.has(error as object)) return;
	await ProcessGroup.reportFailure(why ?? (error instanceof EhrJepaError ? error.message : 'an unexpected error'));
}

/**
 * Runs a command with the other processes that the environment tells of, or on its own. The others are told when it fails
 * here, and the process ends with its launcher.
 *
 * @param run - Its context is aborted when another rank has failed, too.
 */
export async function withGroup(
	context: CommandContext,
	{ rendezvousTimeout, collectiveTimeout }: { [Name in keyof GroupTimeouts]?: number | undefined },
	run: (group: ProcessGroup | undefined, context: CommandContext) => Promise<void>,
): Promise<void> {
	// `launch` holds a channel to its ranks, which closes when it is gone.
	process.once('disconnect', () => process.exit(1));
	process.channel?.unref();
	await using group = await ProcessGroup.join({
		...(rendezvousTimeout === undefined ? {} : { rendezvousTimeout }),
		...(collectiveTimeout === undefined ? {} : { collectiveTimeout }),
		signal: context.signal,
	});
	try {
		await run(group, group === undefined ? context : abortedWith(context, group.signal));
	} catch (thrown) {
		const cause = causeOf(thrown, context, group);
		// All ranks of a launcher get its Ctrl-C; one may hear of another's end before.
		if (context.signal.aborted && cause instanceof RankError) throw new AbortedError('[ranks] aborted', { cause });
		if (!(cause instanceof RankError)) {
			const known = cause instanceof EhrJepaError ? cause.message : 'an unexpected error';
			group?.fail(cause instanceof AbortedError ? 'was stopped' : `failed: ${known}`);
		}
		told.add(cause as object);
		throw cause;
	}
}

/** A wait that another rank's failure ended is that failure. */
function causeOf(thrown: unknown, context: CommandContext, group: ProcessGroup | undefined): unknown {
	const ended = thrown instanceof AbortedError && !context.signal.aborted && group?.signal.aborted;
	return ended ? group.signal.reason : thrown;
}

function abortedWith(context: CommandContext, other: AbortSignal): CommandContext {
	const signal = AbortSignal.any([context.signal, other]);
	return { ...context, signal, operation: (stage) => ({ ...context.operation(stage), signal }) };
}
