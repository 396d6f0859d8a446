import type { DeviceChoice } from '../model/device.js';
import type { NativeDevices, NativeOpCheck } from '../native.js';
import type { CardLimits } from './card-limits.js';

/** One comparison: what was found, and the most that it may differ. */
export interface Comparison {
	readonly name: string;
	readonly error: number;
	readonly limit: number;
}

/** A short training on the device. */
export interface ShortRun {
	readonly seconds: number;
	readonly steps: number;
	readonly firstLoss: number;
	readonly lastLoss: number;
	readonly tokensPerSecond: number;
	/** By the plan (`plan`): largest memory of the process, or of the card without what CUDA itself takes. */
	readonly plannedBytes: number;
	/** As it was: of the process, or of the tensors on the card, those of the checks before it among them. */
	readonly peakBytes: number;
}

/** How far an op's time is from what a card can do by its vendor: 1 would be all of it. */
export interface Share {
	/** Of bfloat16 products; null where products do not count, or were timed in another dtype. */
	readonly flops: number | null;
	/** Of the bandwidth of memory. */
	readonly bandwidth: number;
}

export function shareOf({ dtype, seconds, flops, bytes }: NativeOpCheck, limits: CardLimits): Share {
	const products = dtype === 'bfloat16' && flops > 0 ? flops / seconds / limits.flops : null;
	return { flops: products, bandwidth: bytes / seconds / limits.bandwidth };
}

export const wishNames = ['EHR_JEPA_CUDA_KERNELS', 'EHR_JEPA_ATTENTION'] as const;

/** What `doctor` found; `agrees` when everything is within its limit. */
export interface DoctorReport {
	readonly agrees: boolean;
	/** One line for each thing that does not agree. */
	readonly problems: readonly string[];
	readonly versions: {
		readonly package: string;
		readonly torch: string;
		readonly node: string;
		readonly cpuCapability: string;
	};
	readonly device: DeviceChoice['device'];
	readonly why: string;
	readonly devices: NativeDevices;
	/** What the card can do by its vendor; null on the CPU, and for a card that is not in the table. */
	readonly limits: CardLimits | null;
	/** What the environment asks for: EHR_JEPA_CUDA_KERNELS and EHR_JEPA_ATTENTION; null: nothing. */
	readonly wishes: Readonly<Record<(typeof wishNames)[number], string | null>>;
	/** `share` is null without limits. `attention by ...` is one way of computing it, whichever the op takes. */
	readonly ops: readonly (NativeOpCheck & { readonly share: Share | null })[];
	/** A step of each objective on the device against the CPU, in float32. */
	readonly objectives: readonly Comparison[];
	/** Whether a run that was interrupted has the bytes of one that was not. */
	readonly resumes: boolean;
	readonly run: ShortRun;
}

/** What is not as it should be, a line each. */
export function problemsOf({ ops, objectives, resumes, run }: Omit<DoctorReport, 'agrees' | 'problems'>): string[] {
	const above = ({ name, error, limit }: Comparison) =>
		error <= limit ? [] : [`${name} is off by ${error.toExponential(1)}, more than ${limit.toExponential(0)}`];
	return [
		...ops.flatMap(({ name, float32Error, float32Limit, bfloat16Error, bfloat16Limit }) => [
			...above({ name: `${name} in float32`, error: float32Error, limit: float32Limit }),
			...above({ name: `${name} in bfloat16`, error: bfloat16Error, limit: bfloat16Limit }),
		]),
		...objectives.flatMap(above),
		...(resumes ? [] : ['a resumed run has other bytes than one that was not interrupted']),
		...(run.lastLoss < run.firstLoss ? [] : [`the loss of a short run went from ${run.firstLoss} to ${run.lastLoss}`]),
	];
}
