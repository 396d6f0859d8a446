import { parseConfig } from '../config.js';
import type { SampledStore } from '../sample/sampler.js';
import { collectiveBandwidth, type Gpu, gpuShare, gpus } from './devices.js';
import { machineMemory, type Saving, whatWouldFit } from './fit.js';
import { largestFutureShare } from './future-share.js';
import { type MemoryPlan, planMemory } from './memory-plan.js';
import { requireShardEach } from './run-share.js';
import { measureSecondsPerStep } from './step-probe.js';
import { flopsPerStep } from './time-plan.js';
import { planTraffic, type Traffic } from './traffic.js';
import { TrainConfig, type TrainConfigInput } from './train-config.js';

/** What a training run would take. */
export interface TrainingPlan {
	readonly device: 'cpu' | Gpu;
	/** Devices that share each update, and the training state as `parallel.kind` says. */
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
	/** Bytes that each device sends in an update. */
	readonly traffic: Traffic;
	/** Trunk tokens of an update, all devices together. */
	readonly tokensPerUpdate: number;
	readonly config: TrainConfig;
}

/**
 * Memory by kind and time of a step of a training run, before anything is allocated. On the CPU the time comes from steps of
 * a part of the model on this machine now, without what ranks wait for one another; on GPUs it is reckoned from 40 % of the
 * vendor's figure and the bandwidth between them.
 *
 * @param vocabSize - Rows of the embedding.
 * @param options.store - Its first batches say how large the largest is; without it all windows are taken to fill their budgets.
 * @throws {ConfigError} {DataError}
 */
export async function planTraining(
	input: TrainConfigInput,
	vocabSize: number,
	{
		device = 'cpu',
		devices = 1,
		store,
	}: { readonly device?: 'cpu' | Gpu; readonly devices?: number; readonly store?: SampledStore | undefined } = {},
): Promise<TrainingPlan> {
	// GPUs multiply bfloat16, whatever this machine does.
	const given = device === 'cpu' ? input : { computeDtype: 'bfloat16', ...input };
	const config = parseConfig('plan', TrainConfig, given);
	requireShardEach('plan', config, devices);
	const share = { ...config, tokensPerStep: Math.ceil(config.tokensPerStep / devices) };
	const futureShare = store && (await largestFutureShare(store, share, devices));
	const options = { ranks: devices, futureShare, onCard: device !== 'cpu' };
	const memory = planMemory(share, vocabSize, options);
	const available = device === 'cpu' ? machineMemory() : gpus[device].memory;
	const fits = memory.peak <= available;
	const flops = flopsPerStep(config, vocabSize);
	const traffic = planTraffic(config, vocabSize, devices);
	return {
		device,
		devices,
		basis: device === 'cpu' ? 'measured' : 'analytic',
		memory,
		available,
		fits,
		saving: fits ? null : (whatWouldFit(share, vocabSize, available, options) ?? null),
		flopsPerStep: flops,
		traffic,
		secondsPerStep:
			device === 'cpu'
				? await measureSecondsPerStep(share, vocabSize)
				: secondsOnGpus(config, device, devices, flops, traffic),
		tokensPerUpdate: config.tokensPerStep * config.microBatches,
		config,
	};
}

/**
 * Arithmetic at a share of the vendor's figure, and what of the traffic is not hidden: gradients travel behind the backward pass,
 * two thirds of the arithmetic, where a rank computes one batch of an update; weights that ranks share out travel while the block
 * before is computed; everything else is waited for.
 */
function secondsOnGpus(
	{ parallel, microBatches, objective }: TrainConfig,
	device: Gpu,
	devices: number,
	flops: number,
	{ gradients, parameters, target }: Traffic,
): number {
	const computing = flops / devices / (gpus[device].flops * gpuShare);
	if (devices === 1) return computing;
	const bandwidth = collectiveBandwidth(device, devices);
	const oneEach = (parallel.virtualShards ?? devices) === devices && microBatches === 1;
	const streams = oneEach && parallel.kind !== 'zero1' && (objective.latent?.interferenceEvery ?? 0) === 0;
	const hidden = streams ? (2 / 3) * computing : 0;
	if (parallel.kind === 'zero3') {
		const waited = Math.max(0, gradients / bandwidth - hidden);
		return Math.max(computing, (parameters + target) / bandwidth) + waited;
	}
	return computing + Math.max(0, gradients / bandwidth - hidden) + (parameters + target) / bandwidth;
}
