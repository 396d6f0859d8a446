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
