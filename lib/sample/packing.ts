import type { PackedBatch, TokenCount } from '../types.js';

/**
 * First-fit packing: assigns each sequence, in order, to the first bin with room.
 *
 * @returns Indices of the sequences of each bin, in order of arrival.
 */
export function firstFit(lengths: readonly number[], maxTokens: TokenCount): number[][] {
	const bins: { used: number; members: number[] }[] = [];
	for (const [index, length] of lengths.entries()) {
		if (length > maxTokens)
			throw new RangeError(`[packing] a sequence must fit ${maxTokens} tokens but sequence ${index} has ${length}`);
		let bin = bins.find(({ used }) => used + length <= maxTokens);
		if (bin === undefined) {
			bin = { used: 0, members: [] };
			bins.push(bin);
		}
		bin.used += length;
		bin.members.push(index);
	}
	return bins.map(({ members }) => members);
}

/** A fixed number of bins with what is in them. */
export class Bins {
	readonly maxTokens: TokenCount;
	/** Items of each bin, in order of arrival. */
	readonly members: readonly number[][];
	/** (bins,) tokens still free. */
	readonly free: Int32Array;

	constructor(count: number, maxTokens: TokenCount) {
		this.maxTokens = maxTokens;
		this.members = Array.from({ length: count }, () => []);
		this.free = new Int32Array(count).fill(maxTokens);
	}

	/** First-fit decreasing: the longest first, each into the first bin with room. @returns Items that found none, in order. */
	firstFitDecreasing(lengths: readonly number[]): number[] {
		const order = [...lengths.keys()].sort((a, b) => lengths[b]! - lengths[a]! || a - b);
		return order.filter((item) => !this.#place(item, lengths[item]!)).sort((a, b) => a - b);
	}

	/** The bin with most room. */
	widest(): number {
		let widest = 0;
		for (const [bin, free] of this.free.entries()) if (free > this.free[widest]!) widest = bin;
		return widest;
	}

	add(bin: number, item: number, length: number): void {
		if (length > this.free[bin]!)
			throw new RangeError(`[packing] an item must fit ${this.free[bin]} free tokens but has ${length}`);
		this.members[bin]!.push(item);
		this.free[bin]! -= length;
	}

	#place(item: number, length: number): boolean {
		const bin = this.free.findIndex((free) => length <= free);
		if (bin < 0) return false;
		this.add(bin, item, length);
		return true;
	}
}

/** Lays sequences end to end. @param sequences - At least one, none empty. */
export function pack(sequences: readonly Int32Array[]): PackedBatch {
	const cuSeqlens = new Int32Array(sequences.length + 1);
	for (const [i, sequence] of sequences.entries()) cuSeqlens[i + 1] = cuSeqlens[i]! + sequence.length;
	const total = cuSeqlens.at(-1)!;
	const tokens = new Int32Array(total);
	const positionIds = new Int32Array(total);
	for (const [i, sequence] of sequences.entries()) {
		tokens.set(sequence, cuSeqlens[i]!);
		for (let position = 0; position < sequence.length; position++) positionIds[cuSeqlens[i]! + position] = position;
	}
	return { tokens, cuSeqlens, positionIds };
}
