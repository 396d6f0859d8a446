import { RandomStream } from '../random.js';
import type { LatentBranches, PackedBatch } from '../types.js';
import type { TrainingWindow } from './window.js';

/** Which branches a sampler makes of a window's future. */
export interface BranchOptions {
	/** `masked`: a copy of the future with masked tokens; `query`: a mask token for the end of each future day. */
	readonly kind: 'masked' | 'query';
	/** Share of the future's tokens that is masked. */
	readonly ratio: number;
	/** Length of the masked runs. */
	readonly span: number;
	/** Cuts per window; fewer where the future has fewer days. */
	readonly cuts: number;
	readonly maskTokenId: number;
	readonly seed: number;
}

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
	options: BranchOptions,
): LatentBranches {
	const sequences: number[] = [];
	const cuts: number[] = [];
	const cuRows = [0];
	const tokens: number[] = [];
	const positionIds: number[] = [];
	const targets: number[] = [];
	const addRow = (token: number, position: number, target: number) => {
		tokens.push(token);
		positionIds.push(position);
		targets.push(target);
	};
	for (const [index, window] of windows.entries()) {
		const begin = cuSeqlens[index]!;
		const length = window.tokens.length;
		for (const [number, cut] of cutsOf(window, index, step, options).entries()) {
			if (options.kind === 'query') {
				for (const end of window.futureDays) {
					if (end > cut) addRow(options.maskTokenId, end - 1, begin + end - 1);
				}
			} else {
				const random = new RandomStream(options.seed, 'mask', step, index * cutsPerStream + number);
				const masked = maskedRows(random, length - cut, options);
				for (let row = cut; row < length; row++) {
					const hidden = masked[row - cut] === 1;
					addRow(hidden ? options.maskTokenId : window.tokens[row]!, row, hidden ? begin + row : -1);
				}
			}
			sequences.push(index);
			cuts.push(cut);
			cuRows.push(tokens.length);
		}
	}
	return {
		sequences: Int32Array.from(sequences),
		cuts: Int32Array.from(cuts),
		cuRows: Int32Array.from(cuRows),
		tokens: Int32Array.from(tokens),
		positionIds: Int32Array.from(positionIds),
		targets: Int32Array.from(targets),
		isolated: options.kind === 'query',
	};
}

/** Branches of a batch that has none. */
export const noBranches: LatentBranches = {
	sequences: new Int32Array(0),
	cuts: new Int32Array(0),
	cuRows: Int32Array.of(0),
	tokens: new Int32Array(0),
	positionIds: new Int32Array(0),
	targets: new Int32Array(0),
	isolated: false,
};

/** Rows at which a state is predicted. */
export function predictionCount({ targets }: Pick<LatentBranches, 'targets'>): number {
	let count = 0;
	for (const target of targets) if (target >= 0) count++;
	return count;
}

function cutsOf(window: TrainingWindow, index: number, step: number, { cuts, seed }: BranchOptions): number[] {
	const more = [...window.futureDays.subarray(1, -1)];
	const random = new RandomStream(seed, 'cut', step, (1 << 20) + index);
	const drawn = random.shuffle(more).slice(0, cuts - 1);
	return [window.contextLength, ...drawn].sort((a, b) => a - b);
}

/** (length) 1 where masked: round(ratio x length) rows, at least one, in runs of `span` without overlap. */
function maskedRows(random: RandomStream, length: number, { ratio, span }: BranchOptions): Uint8Array {
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
