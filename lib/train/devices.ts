/** A processor that training is planned for; figures are the vendors'. */
export interface PlannedProcessor {
	/** Bytes. */
	readonly memory: number;
	/** bfloat16 products, FLOP/s, dense. */
	readonly flops: number;
}

/** GPUs by the names of `plan --device`. Nothing has been measured on one: docs/training.md. */
export const gpus = {
	a100: { memory: 80e9, flops: 312e12 },
	h100: { memory: 80e9, flops: 989.4e12 },
	h200: { memory: 141e9, flops: 989.4e12 },
	b200: { memory: 180e9, flops: 2250e12 },
} as const satisfies Record<string, PlannedProcessor>;
export type Gpu = keyof typeof gpus;

/** Share of a GPU's products that training reaches; torchtitan, fms-fsdp and Megatron report 33 to 47 % on an H100. */
export const gpuShare = 0.4;
