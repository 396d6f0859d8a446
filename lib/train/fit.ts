import { totalmem } from 'node:os';
import { ConfigError } from '../errors.js';
import { type MemoryOptions, planMemory } from './memory-plan.js';
import { TrainConfig, type TrainConfigInput } from './train-config.js';

/** Memory that this process may have: the machine's, or less where its container or group is held to less. */
export function machineMemory(): number {
	// 0 and absurd numbers say that there is no limit.
	const limit = process.constrainedMemory();
	return limit > 0 ? Math.min(totalmem(), limit) : totalmem();
}

/** A change of a run that makes it smaller. */
export interface Saving {
	/** As one would say it to `--set`. */
	readonly settings: readonly string[];
	readonly peak: number;
}

const steps: readonly (readonly [readonly string[], (config: TrainConfig) => TrainConfigInput])[] = [
	[['parallel.kind=zero2'], (config) => ({ ...config, parallel: { ...config.parallel, kind: 'zero2' } })],
	[['parallel.kind=zero3'], (config) => ({ ...config, parallel: { ...config.parallel, kind: 'zero3' } })],
	[['checkpointCopy=false'], (config) => ({ ...config, checkpointCopy: false })],
	[['activationCheckpointing=selective'], (config) => ({ ...config, activationCheckpointing: 'selective' })],
	[['activationCheckpointing=block'], (config) => ({ ...config, activationCheckpointing: 'block' })],
	[['computeDtype=bfloat16'], (config) => ({ ...config, computeDtype: 'bfloat16' })],
	[
		['optimizer.updateInBackward=true', 'optimizer.clipBy=parameter'],
		(config) => ({ ...config, optimizer: { ...config.optimizer, updateInBackward: true, clipBy: 'parameter' } }),
	],
	[['parameterDtype=bfloat16'], (config) => ({ ...config, parameterDtype: 'bfloat16' })],
];

function stepsFor({ parallel }: TrainConfig, ranks: number): typeof steps {
	// A rank that has several shards adds their gradients up first.
	const oneEach = (parallel.virtualShards ?? ranks) === ranks;
	return steps.filter(([names]) => oneEach || !names.includes('optimizer.updateInBackward=true'));
}

/**
 * The fewest of our own options, in the order of what they cost, that bring a run below a limit; where none does, LoRA.
 *
 * @returns Nothing when even that is too large.
 */
export function whatWouldFit(
	config: TrainConfig,
	vocabSize: number,
	limit: number,
	options: MemoryOptions = {},
): Saving | undefined {
	const open = stepsFor(config, options.ranks ?? 1);
	const peakWith = (chosen: typeof steps) => {
		const changed = TrainConfig.safeParse(
			chosen.reduce<TrainConfigInput>((so, [, change]) => change(so as TrainConfig), config),
		);
		return changed.success ? planMemory(changed.data, vocabSize, options).peak : Infinity;
	};
	for (let count = 1; count <= open.length; count++) {
		let chosen = open.slice(0, count);
		if (peakWith(chosen) > limit) continue;
		// One that is not needed beside the others is not asked for.
		for (const step of chosen) {
			const without = chosen.filter((one) => one !== step);
			if (peakWith(without) <= limit) chosen = without;
		}
		return { settings: chosen.flatMap(([names]) => names), peak: peakWith(chosen) };
	}
	const lora = TrainConfig.safeParse({
		...config,
		parameterDtype: 'float32',
		computeDtype: 'bfloat16',
		activationCheckpointing: 'block',
		checkpointCopy: false,
		trainable: { kind: 'lora' },
	});
	if (!lora.success) return undefined;
	const { peak } = planMemory(lora.data, vocabSize, options);
	const names = [
		'trainable.kind=lora',
		'computeDtype=bfloat16',
		'activationCheckpointing=block',
		'checkpointCopy=false',
	];
	return peak <= limit ? { settings: names, peak } : undefined;
}

/** Smaller batches cost no accuracy where micro-batches make up for them. */
const halfTheTokens = (config: TrainConfig): readonly [readonly string[], TrainConfigInput] => [
	[`tokensPerStep=${Math.ceil(config.tokensPerStep / 2)}`, `microBatches=${config.microBatches * 2}`],
	{ ...config, tokensPerStep: Math.ceil(config.tokensPerStep / 2), microBatches: config.microBatches * 2 },
];

/** Each of the options alone that lowers the peak on a card, and by how many bytes. */
export function savings(
	config: TrainConfig,
	vocabSize: number,
	ranks: number,
): readonly { readonly settings: readonly string[]; readonly saved: number }[] {
	const peakOf = (input: TrainConfigInput) => {
		const changed = TrainConfig.safeParse(input);
		return changed.success ? planMemory(changed.data, vocabSize, { ranks, onCard: true }).peak : Infinity;
	};
	const now = peakOf(config);
	const open = stepsFor(config, ranks).filter(([[name]]) => ranks > 1 || !name?.startsWith('parallel.'));
	return [halfTheTokens(config), ...open.map(([names, change]) => [names, change(config)] as const)]
		.map(([settings, changed]) => ({ settings, saved: now - peakOf(changed) }))
		.filter(({ saved }) => saved > 0);
}

/** Bytes with the unit that leaves a small part a number. */
export function memorySize(bytes: number): string {
	const [size, unit] = bytes < 2 ** 30 ? [bytes / 2 ** 20, 'MiB'] : [bytes / 2 ** 30, 'GiB'];
	return `${size.toFixed(size < 10 ? 2 : 1)} ${unit}`;
}

/**
 * Refuses a run that this machine cannot hold, before anything is allocated.
 *
 * @throws {ConfigError} Says what would fit.
 */
export function requireMemory(
	config: TrainConfig,
	vocabSize: number,
	{ limit = machineMemory(), ...options }: MemoryOptions & { readonly limit?: number } = {},
): void {
	const { peak } = planMemory(config, vocabSize, options);
	if (peak <= limit) return;
	const saving = whatWouldFit(config, vocabSize, limit, options);
	const fix =
		saving === undefined
			? 'take a smaller model, or a machine with more'
			: `${saving.settings.map((setting) => `--set ${setting}`).join(' ')} would bring it to ${memorySize(saving.peak)} (docs/training.md says at what cost)`;
	throw new ConfigError(
		`[train] the run must fit the machine's memory of ${memorySize(limit)} but would take ${memorySize(peak)} at its peak; ${fix}. ehr-jepa plan shows what takes it`,
	);
}
