import type { Argv } from 'yargs';
import { type EmbeddedStates, embed, writeEmbeddings } from '../../evaluate/embeddings.js';
import { rollout, rolloutTarget } from '../../evaluate/rollout.js';
import { writeRollout } from '../../evaluate/rollout-file.js';
import { lockNewFile } from '../../files/lock.js';
import { openTokenStore } from '../../store/token-store.js';
import { readIndexDates } from '../../tasks/read.js';
import { openModel, requireSameData } from '../../train/trainer.js';
import { withContext } from '../context.js';

export const command = 'embed <run> <store> <tasks> <out>';
export const describe = 'Frozen states of patients at index dates, as parquet';

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
		.option('pooling', {
			choices: ['last', 'mean'] as const,
			default: 'last' as const,
			describe: 'Newest token, or mean over the window',
		})
		.option('encoder', {
			choices: ['encoder', 'target_encoder'] as const,
			default: 'encoder' as const,
			describe: 'Which network',
		})
		.option('context-tokens', { type: 'number', describe: 'Tokens of history; default: those of training' })
		.option('rollout', {
			type: 'string',
			describe: 'New parquet file: predicted states 30, 180 and 365 days ahead (runs with a state branch)',
		})
		.example('$0 embed runs/both store tasks both.parquet --pooling mean', 'subject_id, prediction_time, embedding');

export async function handler(args: Awaited<ReturnType<ReturnType<typeof builder>['parseAsync']>>): Promise<void> {
	await withContext(Boolean(args.json), async (context) => {
		using _lock = await lockNewFile(args.out);
		using _rolloutLock = args.rollout === undefined ? undefined : await lockNewFile(args.rollout);
		const store = await openTokenStore(args.store);
		const { model, run, step } = await openModel(args.run, { weights: args.weights });
		try {
			requireSameData(run.config, store, 'vocabulary');
			const contextTokens = args.contextTokens ?? run.config.train.contextTokens;
			const indexDates = await readIndexDates(args.tasks);
			const states =
				args.rollout === undefined
					? undefined
					: await rollout(model, store, indexDates, {
							...context.operation(),
							contextTokens,
							...rolloutTarget(run.config.train.objective),
						});
			const table = await embed(model, store, indexDates, {
				...context.operation(),
				contextTokens,
				pooling: args.pooling,
				encoder: args.encoder,
			});
			const metadata = {
				run: args.run,
				step: String(step),
				pooling: args.pooling,
				encoder: args.encoder,
				context_tokens: String(contextTokens),
				store: store.manifest.fingerprint,
			};
			await writeEmbeddings(args.out, table, metadata);
			if (args.rollout !== undefined && states !== undefined) {
				const { run, step, context_tokens } = metadata;
				await writeRollout(args.rollout, states, { run, step, context_tokens, store: metadata.store });
			}
			const lines = [`${args.out}: ${table.rows} states of ${table.columns} numbers`, ...leftOut(table.counts)];
			context.result(lines.join('\n'), {
				out: args.out,
				...(args.rollout === undefined ? {} : { rollout: args.rollout }),
				rows: table.rows,
				columns: table.columns,
				counts: table.counts,
				...metadata,
			});
		} finally {
			await model.close();
			await store.close();
		}
	});
}

/** What was left out, in words; empty when nothing was. */
function leftOut({ withoutTokens, withLaterRuns, laterRuns }: EmbeddedStates['counts']): string[] {
	return [
		...(withoutTokens === 0
			? []
			: [`${withoutTokens} index dates have no token (an unknown subject, or nothing is known yet) and no state`]),
		...(withLaterRuns === 0
			? []
			: [`${laterRuns} runs of ${withLaterRuns} index days became known later that day and are not in the context`]),
	];
}
