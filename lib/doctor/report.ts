import type { DeviceChoice } from '../model/device.js';
import type { NativeDevices, NativeOpCheck } from '../native.js';

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
	/** Largest memory of the process by the plan (`plan`), for the CPU. */
	readonly plannedBytes: number;
	/** Largest memory of the process as it was. What a card held is not read. */
	readonly peakBytes: number;
}

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
	readonly ops: readonly NativeOpCheck[];
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
