import { join, resolve } from 'node:path';
import type { Argv } from 'yargs';
import { z } from 'zod';
import { ConfigError } from '../../errors.js';
import { exists } from '../../files/exists.js';
import { computeDtypeNote } from '../../model/compute-dtype.js';
import { beyondPositions } from '../../model/positions.js';
import { type ModelSize, modelSizes } from '../../model/qwen3-config.js';
import { type ObjectivePreset, objectivePresets } from '../../objective/objective.js';
import type { ProcessGroup } from '../../ranks/process-group.js';
import { openTokenStore } from '../../store/token-store.js';
import type { InstrumentMetrics } from '../../train/instruments/metrics.js';
import type { StepMetrics } from '../../train/metrics.js';
import { ParallelOptions } from '../../train/parallel-options.js';
import { presetConfig, type TrainPreset } from '../../train/presets.js';
import { TrainConfig, type TrainConfigInput } from '../../train/train-config.js';
import { Trainer } from '../../train/trainer.js';
import { type CommandContext, withContext } from '../context.js';
import { deviceOf, deviceOption } from '../device-option.js';
import { isSilentRank } from '../rank-output.js';
import { applySettings, configFile } from '../settings.js';
import { withTrainingOptions } from '../training-options.js';
import { groupOptions, withGroup } from '../with-group.js';

export const builder = (yargs: Argv) =>
	withTrainingOptions(
		yargs
			.positional('store', { type: 'string', demandOption: true, describe: 'Folder written by prepare' })
			.positional('run', { type: 'string', demandOption: true, describe: 'New run folder' }),
	)
		.option('steps', {
			type: 'number',
			describe: 'Updates to make; with --resume, to extend the run to so many in all',
		})
		.option('seed', { type: 'number', describe: 'Initial weights, order, cuts and masks' })
		.option('resume', {
			type: 'boolean',
			default: false,
			describe: 'Continue the run from its newest whole checkpoint',
		})
		.option('device', deviceOption)
		.option('forbid-waits', {
			type: 'boolean',
			default: false,
			describe: 'Debugging on a card: fail where the host waits for it within a step, and name the call',
		})
		.options(groupOptions)
		.example('$0 train store runs/sft --objective sft --steps 300', 'Next-token loss alone')
		.example('$0 train store runs/both --config train.json', 'All options from a file; see docs/training.md')
		.example(
			'$0 train store runs/slow --set optimizer.learningRate=1e-4 --set computeDtype=bfloat16',
			'Any one of them',
		)
		.example('$0 train store runs/large --preset qwen3-1.7b-24gib', 'All of Qwen3-1.7B on one 24 GiB machine')
		.example('$0 train store runs/both --resume', 'Go on after an interruption')
		.example('$0 train store runs/both --resume --steps 800', 'Extend a run; docs/training.md says with what schedule')
		.example('$0 train store runs/both --resume --set parallel.kind=zero3', 'Go on, shared otherwise among ranks');

export async function handler(args: Awaited<ReturnType<ReturnType<typeof builder>['parseAsync']>>): Promise<void> {
	const train = async (context: CommandContext) => {
		if (
			args.resume &&
			(args.preset ??
				args.config ??
				args.objective ??
				args.size ??
				args.from ??
				args.seed ??
				args.set?.find((text) => !text.startsWith('parallel.kind='))) !== undefined
		) {
			throw new ConfigError(
				'[train] --resume continues with the run’s own options but others were given; leave them out, but for --steps, which extends it, and --set parallel.kind=…',
			);
		}
		const config = args.resume ? undefined : await configOf(args);
		const kind = args.resume ? kindOf(args.set) : undefined;
		const device = deviceOf(context, args.device);
		await withGroup(context, args, async (group) => {
			await using store = await openTokenStore(args.store);
			const goesOn = config === undefined || (await isBegunAgain(group, args.run));
			await using trainer = goesOn
				? await Trainer.resume(args.run, store, {
						...context.operation(),
						steps: args.resume ? args.steps : undefined,
						kind,
						device,
						group,
						forbidWaits: args.forbidWaits,
					})
				: await Trainer.create(args.run, store, config, { device, group, forbidWaits: args.forbidWaits });
			const { initialWeights, contextTokens, futureTokens, computeDtype } = trainer.config;
			const chosen = goesOn ? 'as the run began' : config?.computeDtype ? 'as configured' : 'by default';
			context.say(computeDtypeNote(computeDtype, chosen));
			const beyond = await beyondPositions(initialWeights, contextTokens + futureTokens);
			if (beyond !== undefined) context.operation().onWarning?.(beyond);
			let last: StepMetrics | undefined;
			for await (const metrics of trainer.run(store, context.operation())) last = metrics;
			const tuning = trainer.lastTuning;
			const shown = (value: number | null | undefined) =>
				value === null || value === undefined ? 'not used' : value.toFixed(4);
			const parameters = `${trainer.model.parameterCount.toLocaleString('en-US')} parameters`;
			context.result(
				last === undefined
					? `${args.run}: ${trainer.step} steps, ${parameters}; all of them were made before, --resume --steps N makes more`
					: `${args.run}: ${trainer.step} steps, ${parameters}; tuning next-token loss ${shown(tuning?.nextTokenLoss)}, latent loss ${shown(tuning?.latentLoss)}${learned(trainer.lastInstruments)}`,
				{
					run: args.run,
					step: trainer.step,
					parameters: trainer.model.parameterCount,
					last,
					tuning,
					instruments: trainer.lastInstruments,
				},
			);
		});
	};
	await withContext(Boolean(args.json), train, { silent: isSilentRank() });
}

/** What ranks that go on keep from now on; absent: what they did. */
function kindOf(settings: readonly string[] | undefined): ParallelOptions['kind'] | undefined {
	const given = z.strictObject({ parallel: z.strictObject({ kind: ParallelOptions.shape.kind }).optional() });
	return applySettings<z.input<typeof given>>('train', given, {}, settings).parallel?.kind;
}

/** Whether a launcher has started all ranks again after a failure, and the run had begun: it goes on then. */
async function isBegunAgain(group: ProcessGroup | undefined, run: string): Promise<boolean> {
	if (group === undefined || group.attempt === 0) return false;
	return group.fromFirst(() => exists(join(run, 'config.json')));
}

/** What the instruments say of values and of a known state, in a line of its own; nothing where they read neither. */
function learned(read: InstrumentMetrics | undefined): string {
	const value = read?.losses?.value;
	const simple = read?.valueReferences;
	const parts: string[] = [];
	if (value !== undefined && simple !== undefined) {
		const [loss, previous, linear] = [value.loss, simple.byPrevious, simple.linear].map((nats) => nats.toFixed(3));
		parts.push(`values ${loss} nats (${previous} from the previous one alone, ${linear} linear in all earlier ones)`);
	}
	if (read?.state !== undefined) {
		const bar = read.state.values === undefined ? '' : ` (${read.state.values.toFixed(2)} from values of each test)`;
		parts.push(`true state R² ${read.state.mean.toFixed(2)} by a small probe${bar}`);
	}
	return parts.length === 0 ? '' : `\ntuning futures: ${parts.join('; ')}`;
}

async function configOf(args: {
	readonly preset?: TrainPreset | undefined;
	readonly config?: string | undefined;
	readonly objective?: ObjectivePreset | undefined;
	readonly size?: ModelSize | undefined;
	readonly from?: string | undefined;
	readonly steps?: number | undefined;
	readonly seed?: number | undefined;
	readonly set?: readonly string[] | undefined;
}): Promise<TrainConfigInput> {
	const { preset, from } = args;
	const base: TrainConfigInput = {
		...(preset === undefined ? {} : presetConfig(preset, { withModel: from === undefined })),
		...(await configFile('train', args.config)),
	};
	return applySettings('train', TrainConfig, base, args.set, [
		{ flag: '--objective', path: 'objective', value: args.objective && objectivePresets[args.objective] },
		{ flag: '--size', path: 'model', value: args.size && modelSizes[args.size] },
		{ flag: '--from', path: 'initialWeights', value: args.from === undefined ? undefined : resolve(args.from) },
		{ flag: '--steps', path: 'steps', value: args.steps },
		{ flag: '--seed', path: 'seed', value: args.seed },
	]);
}
