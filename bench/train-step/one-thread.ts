import { availableParallelism } from 'node:os';
import { inOwnProcess } from '../stages/own-process.js';
import type { Asked, Dtype, Measured } from './own.js';
import { median } from './quantile.js';

export interface ThreadsRow {
	readonly name: string;
	/** How many times as fast all threads are as one; each round's, and their median. */
	readonly ratio: number;
	readonly ratios: readonly number[];
	readonly goal: number;
}

const own = new URL('own.js', import.meta.url);

/** An SFT step on one thread and on all, in turns. */
export async function oneThreadAgainstAll(
	name: string,
	asked: { readonly folder: string; readonly batch: string; readonly dtype: Dtype; readonly steps: number },
	rounds: number,
): Promise<ThreadsRow> {
	const all = availableParallelism();
	const seconds = async (threads: number) => {
		const step = { ...asked, variant: 'sft', threads } as const satisfies Asked;
		const found = await inOwnProcess<Measured>(own, `${threads} threads`, step);
		return median(found.seconds);
	};
	const ratios: number[] = [];
	for (let round = 0; round < rounds; round++) ratios.push((await seconds(1)) / (await seconds(all)));
	return { name: `sft 1 against ${all} threads ${name}`, ratio: median(ratios), ratios, goal: 0.9 * all };
}
