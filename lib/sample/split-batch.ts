import type { LatentBranches, TrainingBatch } from '../types.js';
import { RowTable } from './branch-rows.js';
import { noBranches } from './branches.js';

/**
 * Deals the sequences of a batch to so many parts of nearly equal size, each sequence with its branches to one of them: the
 * longest first, each to the part with the fewest rows so far. The parts depend on the batch and their number alone. A part
 * is empty when there are fewer sequences than parts.
 */
export function splitBatch(batch: TrainingBatch, parts: number): TrainingBatch[] {
	if (parts === 1) return [batch];
	const { cuSeqlens, branches } = batch;
	const rows = Array.from(batch.contextLengths, (_, i) => cuSeqlens[i + 1]! - cuSeqlens[i]!);
	for (const [i, sequence] of branches.sequences.entries())
		rows[sequence]! += branches.cuRows[i + 1]! - branches.cuRows[i]!;
	const members = Array.from({ length: parts }, (): number[] => []);
	const sizes = new Array<number>(parts).fill(0);
	for (const sequence of [...rows.keys()].sort((a, b) => rows[b]! - rows[a]! || a - b)) {
		const part = sizes.indexOf(Math.min(...sizes));
		members[part]!.push(sequence);
		sizes[part]! += rows[sequence]!;
	}
	return members.map((sequences) =>
		partOf(
			batch,
			sequences.sort((a, b) => a - b),
		),
	);
}

/** @param sequences - Ascending. */
function partOf(batch: TrainingBatch, sequences: readonly number[]): TrainingBatch {
	const cuSeqlens = new Int32Array(sequences.length + 1);
	for (const [i, sequence] of sequences.entries())
		cuSeqlens[i + 1] = cuSeqlens[i]! + batch.cuSeqlens[sequence + 1]! - batch.cuSeqlens[sequence]!;
	const rowsOf = (array: Int32Array) => {
		const part = new Int32Array(cuSeqlens.at(-1)!);
		for (const [i, sequence] of sequences.entries())
			part.set(array.subarray(batch.cuSeqlens[sequence]!, batch.cuSeqlens[sequence + 1]!), cuSeqlens[i]!);
		return part;
	};
	return {
		tokens: rowsOf(batch.tokens),
		cuSeqlens,
		positionIds: rowsOf(batch.positionIds),
		contextLengths: Int32Array.from(sequences, (sequence) => batch.contextLengths[sequence]!),
		subjectIds: BigInt64Array.from(sequences, (sequence) => batch.subjectIds[sequence]!),
		branches: branchesOf(batch, sequences, cuSeqlens),
	};
}

function branchesOf(
	{ branches, cuSeqlens }: TrainingBatch,
	members: readonly number[],
	cuOfPart: Int32Array,
): LatentBranches {
	if (branches === noBranches || branches.sequences.length === 0) return branches;
	const placeOf = new Map(members.map((sequence, place) => [sequence, place]));
	const encoded = branches.kind !== 'state';
	const table = new RowTable(encoded);
	const sequences: number[] = [];
	const cuts: number[] = [];
	for (const [i, sequence] of branches.sequences.entries()) {
		const place = placeOf.get(sequence);
		if (place === undefined) continue;
		const shift = cuOfPart[place]! - cuSeqlens[sequence]!;
		for (let row = branches.cuRows[i]!; row < branches.cuRows[i + 1]!; row++) {
			const target = branches.targets[row]!;
			table.add(
				encoded ? branches.tokens[row]! : 0,
				encoded ? branches.positionIds[row]! : 0,
				target < 0 ? target : target + shift,
				branches.days[row]!,
			);
		}
		sequences.push(place);
		cuts.push(branches.cuts[i]!);
		table.endBranch();
	}
	return {
		...branches,
		sequences: Int32Array.from(sequences),
		cuts: Int32Array.from(cuts),
		...table.arrays(),
	};
}
