import type { Argv } from 'yargs';
import { ConfigError, VocabularyError } from '../../errors.js';
import { scoreSequences, surpriseByDay } from '../../evaluate/score.js';
import { writeDaySurprise, writeTokenScores } from '../../evaluate/score-file.js';
import { readTokenSequences } from '../../evaluate/token-sequences.js';
import { ComputeDtype } from '../../model/compute-dtype.js';
import { beyondPositions } from '../../model/positions.js';
import type { WorkDivision } from '../../ranks/work-division.js';
import { openTokenStore } from '../../store/token-store.js';
import { splits } from '../../types.js';
import { checkpointOf, checkpointOption } from '../checkpoint-option.js';
import type { CommandContext } from '../context.js';
import { deviceOf, deviceOption } from '../device-option.js';
import { divided, divisionOptions } from '../divided.js';
import { type OpenedModel, openAnyModel } from '../open-any-model.js';
import { scoreKey } from '../score-key.js';

export const builder = (yargs: Argv) =>
	yargs
		.positional('model', {
			type: 'string',
			demandOption: true,
			describe: 'Run folder, or HuggingFace folder of a Qwen3',
		})
		.positional('out', { type: 'string', demandOption: true, describe: 'New Arrow file' })
		.option('tokens', {
			type: 'string',
			describe: 'Sequences of token ids: JSON lines, or Arrow with a list column tokens',
		})
		.option('store', { type: 'string', describe: 'Token store: the surprise of each day instead' })
		.option('split', { choices: splits, default: 'held_out' as const, describe: 'Patients of the store' })
		.option('window', {
			type: 'number',
			describe: 'Tokens of a window over a record; default: those of training, or 2048',
		})
		.option('hidden', { type: 'boolean', default: false, describe: 'Also the hidden states after the final norm' })
		.option('dtype', {
			choices: ComputeDtype.options,
			default: 'float32' as const,
			describe: 'Of parameters and computation of a HuggingFace folder',
		})
		.option('checkpoint', checkpointOption)
		.option('device', deviceOption)
		.options(divisionOptions)
		.conflicts('tokens', 'store')
		.example('$0 score Qwen3-1.7B scores.arrow --tokens ids.jsonl --dtype bfloat16', '[1, 2, 3] on each line')
		.example('$0 score runs/both surprise.arrow --store store', 'subject_id, day, tokens, surprise, rank');

type Arguments = Awaited<ReturnType<ReturnType<typeof builder>['parseAsync']>>;

export async function handler(args: Arguments): Promise<void> {
	await divided('score', args, async (context, division) => {
		if (args.tokens === undefined && args.store === undefined) {
			throw new ConfigError('[score] one of --tokens and --store must be given but neither is');
		}
		if (args.hidden && args.store !== undefined)
			throw new ConfigError(
				'[score] --hidden belongs to --tokens but --store was given; `embed` writes states of patients',
			);
		const weights = checkpointOf('score', args.checkpoint);
		const device = deviceOf(context, args.device);
		using _lock = await division.claim(args.out);
		const opened = await openAnyModel(args.model, {
			parameterDtype: args.dtype,
			computeDtype: args.dtype,
			placement: 'mapped',
			device,
			weights,
		});
		try {
			await division.begin(await scoreKey(args, opened));
			if (args.tokens !== undefined) await scoreTokens(context, division, opened, args, args.tokens);
			else await scoreStore(context, division, opened, args, args.store!);
		} finally {
			await opened.model.close();
		}
	});
}

async function scoreTokens(
	context: CommandContext,
	division: WorkDivision,
	{ model, run }: OpenedModel,
	args: Arguments,
	file: string,
): Promise<void> {
	let longest = 0;
	const measured = {
		async *[Symbol.asyncIterator]() {
			for await (const sequence of readTokenSequences(file, model.options.vocabSize)) {
				longest = Math.max(longest, sequence.length);
				yield sequence;
			}
		},
	};
	const scored = scoreSequences(model, measured, { ...context.operation(), withHidden: args.hidden, division });
	if (!division.writes) return drain(scored);
	const result = await writeTokenScores(args.out, scored, args.hidden ? model.hiddenSize : undefined);
	await warnBeyond(context, run, args.model, longest);
	const mean = result.meanLogProbability;
	context.result(
		`${args.out}: ${result.tokens} tokens of ${result.sequences} sequences, mean log-probability ${mean === null ? 'undefined (no token has a predecessor)' : mean.toFixed(4)}`,
		{ out: args.out, ...result },
	);
}

/** What a process that does not write has nothing to do with. */
async function drain(results: AsyncIterable<unknown>): Promise<void> {
	for await (const _ of results);
}

/** A run has no positions of its own: those of the folder it started from count. */
async function warnBeyond(
	context: CommandContext,
	run: OpenedModel['run'],
	model: string,
	tokens: number,
): Promise<void> {
	const folder = run === undefined ? model : run.train.initialWeights;
	const beyond = await beyondPositions(folder, tokens);
	if (beyond !== undefined) context.operation().onWarning?.(beyond);
}

async function scoreStore(
	context: CommandContext,
	division: WorkDivision,
	{ model, run }: OpenedModel,
	args: Arguments,
	path: string,
): Promise<void> {
	const store = await openTokenStore(path);
	try {
		// A HuggingFace folder does not say which vocabulary it was trained on; its size is what can be checked.
		if (run !== undefined && run.data.vocabulary !== store.vocabulary.fingerprint) {
			throw new VocabularyError(
				`[score] the vocabulary must be the one the run was made with (${run.data.vocabulary.slice(0, 12)}) but is ${store.vocabulary.fingerprint.slice(0, 12)} (${path}); give the store of the run`,
			);
		}
		if (model.options.vocabSize !== store.vocabulary.size) {
			throw new VocabularyError(
				`[score] the vocabulary must have the ${model.options.vocabSize} tokens of the model but has ${store.vocabulary.size} (${path}); give the store that the model was trained on`,
			);
		}
		const window = args.window ?? (run === undefined ? 2048 : run.train.contextTokens + run.train.futureTokens);
		if (!Number.isInteger(window) || window < 8)
			throw new ConfigError(`[score] --window must be a whole number from 8 but is ${window}`);
		await warnBeyond(context, run, args.model, window);
		const patients = surpriseByDay(model, store.split(args.split), store.vocabulary, window, {
			...context.operation(),
			division,
		});
		if (!division.writes) return await drain(patients);
		const result = await writeDaySurprise(args.out, patients);
		context.result(`${args.out}: ${result.days} days of ${result.patients} ${args.split} patients`, {
			out: args.out,
			split: args.split,
			window,
			...result,
		});
	} finally {
		await store.close();
	}
}
