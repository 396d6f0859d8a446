import { resolve } from 'node:path';
import type { Argv } from 'yargs';
import { ConfigError } from '../../errors.js';
import { openPretrained } from '../../model/pretrained.js';
import { modelSizes } from '../../model/qwen3-config.js';
import { objectivePresets } from '../../objective/objective.js';
import { openTokenStore, type TokenStore } from '../../store/token-store.js';
import { type Gpu, gpus } from '../../train/devices.js';
import { memorySize } from '../../train/fit.js';
import { planTraining, type TrainingPlan } from '../../train/plan.js';
import { presetConfig } from '../../train/presets.js';
import { TrainConfig, type TrainConfigInput } from '../../train/train-config.js';
import { withContext } from '../context.js';
import { applySettings, configFile } from '../settings.js';
import { withTrainingOptions } from '../training-options.js';

export const builder = (yargs: Argv) =>
	withTrainingOptions(yargs)
		.option('store', {
			type: 'string',
			describe: 'Token store, which says the vocabulary and how large the largest batch is',
		})
		.option('vocab-size', { type: 'number', describe: 'Rows of the embedding, without a store or --from' })
		.option('device', {
			choices: ['cpu', ...Object.keys(gpus)] as ('cpu' | Gpu)[],
			default: 'cpu' as const,
			describe: 'This machine, or a GPU, for which everything is analytic',
		})
		.option('gpus', {
			type: 'number',
			default: 1,
			describe: 'GPUs that share each update, and the training state as parallel.kind says: 1 to 512',
		})
		.example('$0 plan --preset qwen3-1.7b-24gib', 'What the whole 1.7B model takes here')
		.example(
			'$0 plan --size qwen3-1.7b --device h100 --gpus 8 --set parallel.kind=zero2',
			'Analytic: nothing has been measured on a GPU',
		);

export async function handler(args: Awaited<ReturnType<ReturnType<typeof builder>['parseAsync']>>): Promise<void> {
	await withContext(Boolean(args.json), async (context) => {
		const { device, gpus: devices } = args;
		if (!Number.isInteger(devices) || devices < 1 || devices > 512)
			throw new ConfigError(`[plan] --gpus must be a whole number from 1 to 512 but is ${devices}`);
		if (device === 'cpu' && devices !== 1)
			throw new ConfigError(`[plan] --gpus must be 1 on the CPU but is ${devices}; name a GPU with --device`);
		await using store = args.store === undefined ? undefined : await openTokenStore(args.store);
		const { config, vocabSize } = await configOf(args, store);
		const plan = await planTraining(config, vocabSize, { device, devices, store });
		context.result(text(plan, vocabSize), { vocabSize, ...plan });
	});
}

async function configOf(
	args: Awaited<ReturnType<ReturnType<typeof builder>['parseAsync']>>,
	store: TokenStore | undefined,
): Promise<{ readonly config: TrainConfigInput; readonly vocabSize: number }> {
	const { from, size, objective, preset } = args;
	if ([from, args.store, args['vocab-size']].filter((one) => one !== undefined).length > 1)
		throw new ConfigError('[plan] the vocabulary must come from one of --store, --from and --vocab-size');
	const pretrained = from === undefined ? undefined : await openPretrained(resolve(from));
	const base: TrainConfigInput = {
		...(preset === undefined ? {} : presetConfig(preset, { withModel: pretrained === undefined })),
		...(await configFile('plan', args.config)),
		...(pretrained === undefined ? {} : { model: pretrained.config.shape }),
	};
	const config = applySettings('plan', TrainConfig, base, args.set, [
		{ flag: '--objective', path: 'objective', value: objective && objectivePresets[objective] },
		{ flag: '--size', path: 'model', value: size && modelSizes[size] },
	]);
	return { config, vocabSize: pretrained?.vocabSize ?? vocabularyOf(args['vocab-size'], store, preset ?? size) };
}

function vocabularyOf(given: number | undefined, store: TokenStore | undefined, name: string | undefined): number {
	if (given !== undefined) {
		if (Number.isSafeInteger(given) && given > 0) return given;
		throw new ConfigError(`[plan] --vocab-size must be a positive whole number but is ${given}`);
	}
	if (store !== undefined) return store.vocabulary.size;
	// Qwen3's own; a structured vocabulary is as large as the records make it.
	if (name?.startsWith('qwen3')) return 151_936;
	throw new ConfigError('[plan] the vocabulary must be known; give --store, --from or --vocab-size');
}

const kinds = {
	weights: 'weights',
	target: 'EMA of the weights',
	moments: 'moments of AdamW',
	predictor: 'predictor',
	gradients: 'gradients',
	casts: 'weights in the compute dtype',
	activations: 'activations',
	head: 'loss head and embedding',
	checkpoint: 'copy for a checkpoint',
	process: 'the process itself',
} as const;

function text({ memory, device, devices, basis, available, fits, saving, ...plan }: TrainingPlan, vocabSize: number) {
	const seconds = plan.secondsPerStep;
	const where = device === 'cpu' ? 'this machine' : devices === 1 ? `one ${device}` : `each of ${devices} ${device}`;
	const advice =
		saving === null
			? fits
				? []
				: ['nothing that we know of makes it fit']
			: [
					`would fit with ${saving.settings.map((setting) => `--set ${setting}`).join(' ')}: ${memorySize(saving.peak)}`,
				];
	const { gradients, parameters, target } = plan.traffic;
	const shown = (bytes: number) => `${(bytes / 1e9).toPrecision(3)} GB`;
	const sent =
		devices === 1
			? []
			: [
					`each sends ${shown(gradients + parameters + target)} an update (${plan.config.parallel.kind}): gradients ${shown(gradients)}, parameters ${shown(parameters)}, EMA ${shown(target)}`,
				];
	return [
		`vocabulary ${vocabSize.toLocaleString('en-US')}, ${plan.tokensPerUpdate.toLocaleString('en-US')} tokens an update, computed in ${plan.config.computeDtype}${basis === 'analytic' ? '; analytic: nothing here was measured on a GPU' : ''}`,
		...Object.entries(kinds).map(
			([kind, words]) => `${words.padEnd(30)} ${memorySize(memory[kind as keyof typeof kinds]).padStart(10)}`,
		),
		`${'peak'.padEnd(30)} ${memorySize(memory.peak).padStart(10)}  (not the sum: not all are largest at once)`,
		`${where} has ${memorySize(available)}: the run ${fits ? 'fits' : 'does not fit'}`,
		...advice,
		...sent,
		`a step is ${(plan.flopsPerStep / 1e12).toPrecision(3)} TFLOP: about ${Number(seconds.toPrecision(2))} s, ${Math.round(plan.tokensPerUpdate / seconds).toLocaleString('en-US')} tokens/s`,
	].join('\n');
}
