import { parseConfig } from '../config.js';
import { type Gpu, gpuShare, gpus } from './devices.js';
import { machineMemory, type Saving, whatWouldFit } from './fit.js';
import { type MemoryPlan, planMemory } from './memory-plan.js';
import { measureSecondsPerStep } from './step-probe.js';
import { flopsPerStep } from './time-plan.js';
import { TrainConfig, type TrainConfigInput } from './train-config.js';

/** What a training run would take. */
export interface TrainingPlan {
	readonly device: 'cpu' | Gpu;
	/** Devices that share weights' states, gradients and moments; each has a batch of its own. */
	readonly devices: number;
	/** `measured`: against runs on CPUs; `analytic`: reckoned from figures of vendors, never measured. */
	readonly basis: 'measured' | 'analytic';
	readonly memory: MemoryPlan;
	/** Bytes of this machine, or of one device. */
	readonly available: number;
	readonly fits: boolean;
	/** What would make it fit; null when it fits, or nothing does. */
	readonly saving: Saving | null;
	readonly flopsPerStep: number;
	readonly secondsPerStep: number;
	/** Trunk tokens of an update, all devices together. */
	readonly tokensPerUpdate: number;
	readonly config: TrainConfig;
}

/**
 * Memory by kind and time of a step of a training run, before anything is allocated. On the CPU the time comes from steps of
 * a part of the model on this machine now; on GPUs it is reckoned from 40 % of the vendor's figure.
 *
 * @param vocabSize - Rows of the embedding.
 * @throws {ConfigError}
 */
export async function planTraining(
	input: TrainConfigInput,
	vocabSize: number,
	{ device = 'cpu', devices = 1 }: { readonly device?: 'cpu' | Gpu; readonly devices?: number } = {},
): Promise<TrainingPlan> {
	// GPUs multiply bfloat16, whatever this machine does.
	const given = device === 'cpu' ? input : { computeDtype: 'bfloat16', ...input };
	const config = parseConfig('plan', TrainConfig, given);
	const memory = device === 'cpu' ? planMemory(config, vocabSize) : onGpu(planMemory(config, vocabSize), devices);
	const available = device === 'cpu' ? machineMemory() : gpus[device].memory;
	const fits = memory.peak <= available;
	const flops = flopsPerStep(config, vocabSize);
	return {
		device,
		devices,
		basis: device === 'cpu' ? 'measured' : 'analytic',
		memory,
		available,
		fits,
		saving: fits || device !== 'cpu' ? null : (whatWouldFit(config, vocabSize, available) ?? null),
		flopsPerStep: flops,
		secondsPerStep:
			device === 'cpu' ? await measureSecondsPerStep(config, vocabSize) : flops / (gpus[device].flops * gpuShare),
		tokensPerUpdate: config.tokensPerStep * config.microBatches * devices,
		config,
	};
}

/** What is left on each of several devices that share all but the weights in use (ZeRO-2). */
function onGpu(plan: MemoryPlan, devices: number): MemoryPlan {
	const shared = plan.target + plan.moments + plan.gradients;
	const saved = shared - shared / devices;
	// Checkpoints are copied to the host, and the process is there as well; a context of CUDA takes about 1 GB.
	const context = 1e9;
	return {
		...plan,
		target: plan.target / devices,
		moments: plan.moments / devices,
		gradients: plan.gradients / devices,
		checkpoint: 0,
		process: context,
		peak: Math.round(plan.peak - saved - plan.checkpoint - plan.process + context),
	};
}
