/**
 * What a multiprocessor has, by architecture: CUDA C++ Programming Guide, "Technical Specifications per Compute
 * Capability".
 *
 * @type {Readonly<Record<string, { threads: number, blocks: number, sharedKib: number }>>}
 */
const multiprocessors = {
	sm_80: { threads: 2048, blocks: 32, sharedKib: 164 },
	sm_90a: { threads: 2048, blocks: 32, sharedKib: 228 },
	sm_100a: { threads: 2048, blocks: 32, sharedKib: 228 },
	sm_120: { threads: 1536, blocks: 24, sharedKib: 100 },
};
const registerFile = 65_536;
/** The system's own share of each block's shared memory. */
const reservedBytes = 1024;
const warp = 32;

/** @param {number} value @param {number} unit */
const roundedUp = (value, unit) => Math.ceil(value / unit) * unit;

/** Rows of bfloat16 that attention's launches ask room for. */
const tileRows = {
	attention_forward_kernel: 192,
	attention_query_gradient_kernel: 256,
	attention_key_gradient_kernel: 256,
};

/** Bytes of shared memory that a kernel's launch asks for. @param {string} kernel */
export function dynamicSharedBytes(kernel) {
	const [, name, size] = /^(\w+)<(?:\(int\))?(\d+)/.exec(kernel) ?? [];
	const rows = Object.entries(tileRows).find(([known]) => known === name)?.[1];
	return rows === undefined ? 0 : rows * Number(size) * 2;
}

/**
 * Blocks that a multiprocessor holds at a time; 0 where it cannot be said.
 *
 * @param {{ architecture: string, registers: number, sharedBytes: number, threads: number }} kernel
 */
export function residentBlocks({ architecture, registers, sharedBytes, threads }) {
	const has = multiprocessors[architecture];
	if (has === undefined || threads === 0) return 0;
	const warps = Math.ceil(threads / warp);
	// Registers are given to a warp in steps of 256.
	const ofRegisters = Math.floor(registerFile / (roundedUp(registers * warp, 256) * warps));
	const ofShared = Math.floor((has.sharedKib * 1024) / (roundedUp(sharedBytes, 128) + reservedBytes));
	return Math.min(has.blocks, Math.floor(has.threads / (warps * warp)), ofRegisters, ofShared);
}
