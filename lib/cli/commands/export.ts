import { join } from 'node:path';
import type { Argv } from 'yargs';
import { ConfigError } from '../../errors.js';
import { type ExportOptions, exportHuggingFace } from '../../export/huggingface.js';
import { modelCard } from '../../export/model-card.js';
import { exportModelFolder } from '../../export/model-folder.js';
import { exists } from '../../files/exists.js';
import { openTokenStore } from '../../store/token-store.js';
import { openModel, requireSameData } from '../../train/open-model.js';
import { checkpointOf, checkpointOption } from '../checkpoint-option.js';
import { type CommandContext, withContext } from '../context.js';
import { modelFolderKind } from '../open-any-model.js';

export const builder = (yargs: Argv) =>
	yargs
		.positional('model', {
			type: 'string',
			demandOption: true,
			describe: 'Run folder, or HuggingFace folder of a Qwen3',
		})
		.positional('out', { type: 'string', demandOption: true, describe: 'New folder' })
		.option('dtype', {
			choices: ['float32', 'float16', 'bfloat16'] as const,
			describe: 'Of the weights on disk; default: as they are',
		})
		.option('max-shard-size', { type: 'string', default: '5GB', describe: 'Largest file, such as 5GB or 200MB' })
		.option('checkpoint', checkpointOption)
		.option('tokenizer', { type: 'string', describe: 'Folder whose tokenizer files are copied' })
		.option('store', {
			type: 'string',
			describe: 'Token store of the run, whose vocabulary.json and tokenizer are copied',
		})
		.option('adapters', {
			choices: ['merge', 'peft'] as const,
			default: 'merge' as const,
			describe: 'Of a LoRA run: merged into the weights, or alone for peft',
		})
		.option('base-model', {
			type: 'string',
			describe: 'With peft: folder or hub name of the base; default: what the run started from',
		})
		.example('$0 export runs/both model --store store', 'Model card, predictor and EMA encoder beside the weights')
		.example('$0 export runs/lora adapter --adapters peft --base-model Qwen/Qwen3-1.7B', 'What PeftModel opens')
		.example('$0 export Qwen3-1.7B small-files --max-shard-size 1GB', 'Another layout of the same weights');

type Arguments = Awaited<ReturnType<ReturnType<typeof builder>['parseAsync']>>;

export async function handler(args: Arguments): Promise<void> {
	await withContext(Boolean(args.json), async (context) => {
		const options: ExportOptions = {
			maxShardSize: args.maxShardSize,
			adapters: args.adapters,
			...(args.dtype === undefined ? {} : { dtype: args.dtype }),
			...(args.tokenizer === undefined ? {} : { tokenizer: args.tokenizer }),
		};
		if ((await modelFolderKind(args.model)) === 'run') await exportRun(context, args, options);
		else await exportPretrained(context, args, options);
	});
}

async function exportRun(context: CommandContext, args: Arguments, options: ExportOptions): Promise<void> {
	// Adapters are merged in float32, whatever dtype the run computed in.
	const weights = checkpointOf('export', args.checkpoint);
	const { model, run, step } = await openModel(args.model, { baseDtype: 'float32', device: 'cpu', weights });
	try {
		let tokenizer = options.tokenizer;
		let tokens: 'structured' | 'text' | undefined;
		if (args.store !== undefined) {
			await using store = await openTokenStore(args.store);
			requireSameData(run.config, store, 'vocabulary');
			tokens = store.vocabulary.kind;
			tokenizer ??= store.tokenizer;
		}
		const started = run.config.train.initialWeights ?? undefined;
		const baseModel = args.baseModel ?? (args.adapters === 'peft' ? started : undefined);
		const base = started !== undefined && (await exists(join(started, 'config.json'))) ? started : undefined;
		if (started !== undefined && base === undefined)
			context
				.operation()
				.onWarning?.(`${started}, which training started from, is gone: what it says of generation is not exported`);
		const summary = await exportHuggingFace(model, args.out, {
			...options,
			...(tokenizer === undefined ? {} : { tokenizer }),
			card: modelCard(run.config, step, await run.metrics(), tokens),
			...(baseModel === undefined ? {} : { baseModel }),
			...(base === undefined ? {} : { base }),
			parts: run.config.train.objective.latent === null ? [] : ['predictor', 'target_encoder'],
			files: args.store === undefined ? [] : [join(args.store, 'vocabulary.json')],
		});
		context.result(`${args.out}: step ${step}, ${summary.tensors} tensors, ${summary.bytes} bytes`, {
			step,
			...summary,
		});
	} finally {
		await model.close();
	}
}

async function exportPretrained(context: CommandContext, args: Arguments, options: ExportOptions): Promise<void> {
	if (args.store !== undefined) {
		throw new ConfigError(
			'[export] --store belongs to a run folder but the model is a HuggingFace folder; leave it out',
		);
	}
	if (args.checkpoint !== undefined) {
		throw new ConfigError(
			'[export] --checkpoint belongs to a run folder but the model is a HuggingFace folder; leave it out',
		);
	}
	if (args.adapters === 'peft' || args.baseModel !== undefined) {
		throw new ConfigError(
			'[export] --adapters peft and --base-model belong to a run folder but the model is a HuggingFace folder, which has no adapters',
		);
	}
	const { dtype, maxShardSize, tokenizer } = options;
	const summary = await exportModelFolder(args.model, args.out, {
		...(dtype === undefined ? {} : { dtype }),
		...(maxShardSize === undefined ? {} : { maxShardSize }),
		...(tokenizer === undefined ? {} : { tokenizer }),
	});
	context.result(
		[
			`${args.out}: ${summary.tensors} tensors, ${summary.bytes} bytes; files: ${summary.files.map(({ name }) => name).join(', ')}`,
			...summary.notes.map((note) => `note: ${note}`),
		].join('\n'),
		summary,
	);
}
