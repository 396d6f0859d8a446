/** A processor that training is planned for; figures are the vendors'. */
export interface PlannedProcessor {
	/** Bytes. */
	readonly memory: number;
	/** bfloat16 products, FLOP/s, dense. */
	readonly flops: number;
	/** NVLink within a machine of 8, bytes/s one way. */
	readonly link: number;
}

/** GPUs by the names of `plan --device`. Nothing has been measured on one: docs/training.md. */
export const gpus = {
	a100: { memory: 80e9, flops: 312e12, link: 300e9 },
	h100: { memory: 80e9, flops: 989.4e12, link: 450e9 },
	h200: { memory: 141e9, flops: 989.4e12, link: 450e9 },
	b200: { memory: 180e9, flops: 2250e12, link: 900e9 },
} as const satisfies Record<string, PlannedProcessor>;
export type Gpu = keyof typeof gpus;

/** Share of a GPU's products that training reaches; torchtitan, fms-fsdp and Megatron report 33 to 47 % on an H100. */
export const gpuShare = 0.4;

/** GPUs of a machine. */
const machineGpus = 8;
/** Network of one GPU between machines, bytes/s one way: 400 Gb/s each. */
const network = 50e9;
/** Share of a link's figure that collectives reach. */
const linkShare = 0.8;

/** Bytes a second that each of so many GPUs sends in a collective. */
export const collectiveBandwidth = (gpu: Gpu, devices: number): number =>
	linkShare * (devices > machineGpus ? network : gpus[gpu].link);
