import type { Argv } from 'yargs';
import { ConfigError } from '../../errors.js';
import { statesDtypes } from '../../evaluate/embeddings.js';
import { poolings } from '../../model/pooling.js';
import { embedRun } from '../../pipeline/embed-run.js';
import { openTokenStore } from '../../store/token-store.js';
import { readTasks } from '../../tasks/read.js';
import { checkpointOf, checkpointOption } from '../checkpoint-option.js';
import { deviceOf, deviceOption } from '../device-option.js';
import { divided, divisionOptions } from '../divided.js';
import { hiddenStatesOf } from '../hidden-states-option.js';

export const builder = (yargs: Argv) =>
	yargs
		.positional('run', { type: 'string', demandOption: true, describe: 'Run folder written by train' })
		.positional('store', { type: 'string', demandOption: true, describe: 'Token store with the same vocabulary' })
		.positional('tasks', { type: 'string', demandOption: true, describe: 'Folder written by tasks' })
		.positional('out', { type: 'string', demandOption: true, describe: 'New parquet file' })
		.option('weights', {
			choices: ['newest', 'initial'] as const,
			default: 'newest' as const,
			describe: 'Checkpoint, or the weights before training',
		})
		.option('checkpoint', checkpointOption)
		.option('pooling', {
			choices: poolings,
			default: 'last' as const,
			describe: 'Newest token, mean over the window, or a mean that favours recent tokens',
		})
		.option('layers', {
			type: 'string',
			default: 'last',
			describe: 'Hidden states: last, all of them one after another, or numbers such as 0,2,4 (0: the embedding)',
		})
		.option('dtype', {
			choices: statesDtypes,
			default: 'float32' as const,
			describe: 'Numbers of the file: float16 takes half the room and keeps three digits',
		})
		.option('encoder', {
			choices: ['encoder', 'target_encoder'] as const,
			default: 'encoder' as const,
			describe: 'Which network',
		})
		.option('device', deviceOption)
		.option('context-tokens', { type: 'number', describe: 'Tokens of history; default: those of training' })
		.option('rollout', {
			type: 'string',
			describe: 'New parquet file: predicted states 30, 180 and 365 days ahead (runs with a state branch)',
		})
		.options(divisionOptions)
		.example('$0 embed runs/both store tasks both.parquet --shard 2/8', 'One of eight jobs; then --assemble')
		.example('$0 embed runs/both store tasks early.parquet --checkpoint 400', 'States of an earlier checkpoint')
		.example('$0 embed runs/both store tasks both.parquet --pooling recent', 'subject_id, prediction_time, embedding');

export async function handler(args: Awaited<ReturnType<ReturnType<typeof builder>['parseAsync']>>): Promise<void> {
	await divided('embed', args, async (context, division) => {
		const layers = hiddenStatesOf(args.layers);
		const checkpoint = checkpointOf('embed', args.checkpoint);
		if (checkpoint !== undefined && args.weights === 'initial')
			throw new ConfigError('[embed] --checkpoint must stand without --weights initial, the weights of no checkpoint');
		const device = deviceOf(context, args.device);
		using _lock = await division.claim(args.out);
		using _rolloutLock = args.rollout === undefined ? undefined : await division.claim(args.rollout);
		await using store = await openTokenStore(args.store);
		const { table, metadata } = await embedRun(args.out, args.run, store, await readTasks(args.tasks), {
			...context.operation(),
			weights: checkpoint ?? args.weights,
			pooling: args.pooling,
			layers,
			dtype: args.dtype,
			encoder: args.encoder,
			contextTokens: args.contextTokens,
			device,
			rollout: args.rollout,
			division,
		});
		if (!division.writes) return;
		const { rows, columns, counts } = table;
		const later =
			counts.withLaterRuns === 0
				? []
				: [
						`${counts.laterRuns} runs of ${counts.withLaterRuns} index days became known later that day and are not in the context`,
					];
		const passes = `${counts.passes} passes of ${counts.passTokens} tokens; one a state would be ${rows} of ${counts.contextTokens}`;
		context.result(
			[`${args.out}: ${rows} states of ${columns} numbers at step ${metadata.step} from ${passes}`, ...later].join(
				'\n',
			),
			{
				out: args.out,
				...(args.rollout === undefined ? {} : { rollout: args.rollout }),
				rows,
				columns,
				counts,
				...metadata,
				run: args.run,
			},
		);
	});
}
