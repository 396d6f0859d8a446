import { ConfigError } from '../errors.js';
import { RandomStream } from '../random.js';
import type { LatentBranches, PackedBatch } from '../types.js';
import type { BranchOptions, LatentBranch } from './branch-options.js';
import { RowTable } from './branch-rows.js';
import type { TrainingWindow } from './window.js';

/** Beside the options of the branches: what a masked token becomes, and the seed of all draws. */
export interface BranchDraws extends BranchOptions {
	/** Null: there is none, and only branches of kind `state` can be made. */
	readonly maskTokenId: number | null;
	readonly seed: number;
}

const defaultShare = 0.05;
// Cuts of one window have streams of draws of their own.
const cutsPerStream = 16;

/**
 * Latent branches of packed windows. The first cut is the window's own; others are day boundaries of its future, drawn
 * without replacement. All draws follow from (seed, step, window, cut).
 */
export function latentBranches(
	windows: readonly TrainingWindow[],
	{ cuSeqlens }: PackedBatch,
	step: number,
	options: BranchDraws,
): LatentBranches {
	const { branch, seed } = options;
	if (options.maskTokenId === null && branch.kind !== 'state')
		throw new ConfigError(`[branches] ${branch.kind} branches need a mask token but the vocabulary has none`);
	// Branches of kind `state` have no rows to write it into.
	const maskTokenId = options.maskTokenId ?? 0;
	const sequences: number[] = [];
	const cuts: number[] = [];
	const table = new RowTable(branch.kind !== 'state');
	for (const [index, window] of windows.entries()) {
		const begin = cuSeqlens[index]!;
		for (const [number, cut] of cutsOf(window, index, step, options).entries()) {
			const daysTo = (row: number) => daysAhead(window, cut, row);
			const random = new RandomStream(seed, 'mask', step, index * cutsPerStream + number);
			if (branch.kind === 'views') {
				addViews(table, window, cut, branch.predictorTokens, maskTokenId);
			} else if (branch.kind === 'masked') {
				const masked = maskedRows(random, window.tokens.length - cut, branch.ratio, branch.span);
				for (const [i, hidden] of masked.entries()) {
					const row = cut + i;
					table.add(hidden ? maskTokenId : window.tokens[row]!, row, hidden ? begin + row : -1, daysTo(row));
				}
			} else {
				for (const row of queriedRows(window, cut, branch, random)) {
					table.add(maskTokenId, row, begin + row, daysTo(row));
				}
			}
			sequences.push(index);
			cuts.push(cut);
			table.endBranch();
		}
	}
	return {
		sequences: Int32Array.from(sequences),
		cuts: Int32Array.from(cuts),
		...table.arrays(),
		kind: branch.kind === 'masked' ? 'causal' : branch.kind === 'query' ? 'isolated' : branch.kind,
		predictorTokens: branch.kind === 'views' ? branch.predictorTokens : 0,
	};
}

/** Branches of a batch that has none. */
export const noBranches: LatentBranches = {
	sequences: new Int32Array(0),
	cuts: new Int32Array(0),
	...new RowTable(true).arrays(),
	kind: 'causal',
	predictorTokens: 0,
};

/** States that are predicted. */
export function predictionCount({ kind, sequences, targets }: LatentBranches): number {
	if (kind === 'views') return sequences.length;
	let count = 0;
	for (const target of targets) if (target >= 0) count++;
	return count;
}

/** Both views of one cut: predictor tokens after the context, then the future, whose positions restart as in the reference. */
function addViews(table: RowTable, window: TrainingWindow, cut: number, predictorTokens: number, token: number): void {
	for (let i = 0; i < predictorTokens; i++) table.add(token, cut + i, -1, 0);
	for (let row = cut; row < window.tokens.length; row++) table.add(window.tokens[row]!, row - cut, -1, 0);
}

/** Rows of the future at which a state is asked for, ascending. */
function queriedRows(
	window: TrainingWindow,
	cut: number,
	branch: Extract<LatentBranch, { readonly kind: 'query' | 'state' }>,
	random: RandomStream,
): number[] {
	if (branch.kind === 'query' && branch.at === 'positions') {
		const drawn = maskedRows(random, window.tokens.length - cut, branch.share ?? defaultShare, 1);
		return [...drawn.keys()].filter((i) => drawn[i] === 1).map((i) => cut + i);
	}
	return [...window.futureDays].filter((end) => end > cut).map((end) => end - 1);
}

/** Days from the last context event of a cut to the day of a row of the future; a cut is where a day begins. */
function daysAhead({ futureDays, futureDates, contextDate }: TrainingWindow, cut: number, row: number): number {
	let day = 0;
	while (futureDays[day + 1]! <= row) day++;
	const firstDay = futureDays.indexOf(cut);
	return futureDates[day]! - (firstDay === 0 ? contextDate : futureDates[firstDay - 1]!);
}

function cutsOf(window: TrainingWindow, index: number, step: number, { cuts, seed }: BranchDraws): number[] {
	const more = [...window.futureDays.subarray(1, -1)];
	const random = new RandomStream(seed, 'cut', step, (1 << 20) + index);
	const drawn = random.shuffle(more).slice(0, cuts - 1);
	return [window.contextLength, ...drawn].sort((a, b) => a - b);
}

/** (length) 1 where drawn: round(ratio x length) rows, at least one, in runs of `span` without overlap. */
function maskedRows(random: RandomStream, length: number, ratio: number, span: number): Uint8Array {
	const count = Math.max(1, Math.round(ratio * length));
	const masked = new Uint8Array(length);
	const runs = random.shuffle(Array.from({ length: Math.ceil(length / span) }, (_, i) => i));
	let left = count;
	for (const run of runs) {
		for (let row = run * span; row < Math.min(length, (run + 1) * span) && left > 0; row++, left--) masked[row] = 1;
		if (left === 0) break;
	}
	return masked;
}
