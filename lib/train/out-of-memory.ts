import { OutOfMemoryError } from '../errors.js';
import { cardOf, type DeviceChoice } from '../model/device.js';
import { memorySize, savings } from './fit.js';
import { type MemoryPlan, planMemory } from './memory-plan.js';
import type { TrainConfig } from './train-config.js';

/** Kinds of memory that a card holds, by the names of `plan`; the copy of a checkpoint and the process are the host's. */
const kinds = [
	'weights',
	'target',
	'moments',
	'predictor',
	'gradients',
	'casts',
	'activations',
	'head',
] as const satisfies readonly (keyof MemoryPlan)[];

/**
 * The same failure; where a device's memory ran out, with what holds it there and which options lower it.
 *
 * @param config - Its `tokensPerStep` is what this process computes at a time.
 * @param step - That was being made.
 */
export function explainOutOfMemory(
	cause: unknown,
	device: DeviceChoice['device'],
	config: TrainConfig,
	{ vocabSize, ranks, step }: { readonly vocabSize: number; readonly ranks: number; readonly step: number },
): unknown {
	if (!(cause instanceof OutOfMemoryError)) return cause;
	const card = cardOf(device);
	const has =
		card === undefined
			? ''
			: ` of ${memorySize(card.memory)}, of which tensors hold ${memorySize(card.held)} between steps`;
	const plan = planMemory(config, vocabSize, { ranks, onCard: true });
	const parts = kinds.filter((kind) => plan[kind] > 0).map((kind) => `${kind} ${memorySize(plan[kind])}`);
	const lower = savings(config, vocabSize, ranks).map(
		({ settings, saved }) => `${settings.map((setting) => `--set ${setting}`).join(' ')} (${memorySize(saved)} less)`,
	);
	const fix = lower.length === 0 ? 'take a smaller model, or LoRA' : `a new run may take less with ${lower.join(', ')}`;
	return new OutOfMemoryError(
		`[train] step ${step} must fit the memory of ${device}${has}, but it ran out; by the plan it takes ${parts.join(', ')}; ${fix}. The run stands at step ${step - 1}, and --resume goes on with it on a device with more: ${firstLine(cause.message)}`,
		{ cause },
	);
}

const firstLine = (text: string): string => text.split('\n', 1)[0]!;
