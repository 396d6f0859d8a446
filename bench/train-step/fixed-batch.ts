import type { LatentBranches, TrainingBatch } from '../../lib/types.js';
import type { BenchShape } from './shapes.js';

/** What a peer is told of a batch. */
export interface FixedBatch {
	/** Token ids of each sequence. */
	readonly sequences: readonly (readonly number[])[];
	/** Tokens of each sequence that are context. */
	readonly cut: number;
	readonly maskToken: number;
	/** Places in each sequence that are masked and predicted. */
	readonly masked: readonly number[];
}

/** Every second token of the future is masked. */
export function fixedBatch({ vocabSize, sequences, tokens }: BenchShape): FixedBatch {
	const cut = tokens >> 1;
	return {
		sequences: Array.from({ length: sequences }, (_, s) =>
			Array.from({ length: tokens }, (_, i) => ((s * tokens + i) * 7919 + (i % 17)) % (vocabSize - 1)),
		),
		cut,
		maskToken: vocabSize - 1,
		masked: Array.from({ length: tokens - cut }, (_, i) => cut + i).filter((place) => place % 2 === 0),
	};
}

function joined(each: readonly (readonly number[])[]): Int32Array {
	return Int32Array.from(each.flat());
}

function starts(lengths: readonly number[]): Int32Array {
	let sum = 0;
	return Int32Array.from([0, ...lengths.map((length) => (sum += length))]);
}

/** Rows of one branch, the same for every sequence but for tokens and targets. */
interface BranchRow {
	readonly token: number;
	readonly place: number;
	readonly predicted: boolean;
}

function branchesOf(
	batch: FixedBatch,
	kind: 'causal' | 'isolated',
	rowsOf: (sequence: readonly number[]) => BranchRow[],
) {
	const rows = batch.sequences.map(rowsOf);
	const trunk = batch.sequences[0]!.length;
	return {
		sequences: Int32Array.from(rows.keys()),
		cuts: new Int32Array(rows.length).fill(batch.cut),
		cuRows: starts(rows.map(({ length }) => length)),
		tokens: joined(rows.map((each) => each.map(({ token }) => token))),
		positionIds: joined(rows.map((each) => each.map(({ place }) => place))),
		targets: joined(rows.map((each, s) => each.map(({ place, predicted }) => (predicted ? s * trunk + place : -1)))),
		days: new Float32Array(rows.reduce((sum, { length }) => sum + length, 0)),
		kind,
		predictorTokens: 0,
	} satisfies LatentBranches;
}

/** The batch as our step takes it: `masked` has the whole future in its branch, `query` every 20th token. */
export function trainingBatch(batch: FixedBatch, branch: 'masked' | 'query'): TrainingBatch {
	const { sequences, cut, maskToken } = batch;
	const masked = new Set(batch.masked);
	const future = (sequence: readonly number[]) => sequence.slice(cut).map((token, i) => ({ token, place: cut + i }));
	return {
		tokens: joined(sequences),
		cuSeqlens: starts(sequences.map(({ length }) => length)),
		positionIds: joined(sequences.map((sequence) => [...sequence.keys()])),
		contextLengths: new Int32Array(sequences.length).fill(cut),
		branches:
			branch === 'masked'
				? branchesOf(batch, 'causal', (sequence) =>
						future(sequence).map(({ token, place }) => {
							const predicted = masked.has(place);
							return { token: predicted ? maskToken : token, place, predicted };
						}),
					)
				: branchesOf(batch, 'isolated', (sequence) =>
						future(sequence)
							.filter(({ place }) => (place + 1 - cut) % 20 === 0)
							.map(({ place }) => ({ token: maskToken, place, predicted: true })),
					),
		subjectIds: BigInt64Array.from(sequences.keys(), BigInt),
	};
}
