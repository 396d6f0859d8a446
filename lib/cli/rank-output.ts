import { AbortedError, RankError } from '../errors.js';

/** Rank of this process; 0 for one on its own. */
const ownRank = () => Number(process.env.RANK ?? process.env.SLURM_PROCID ?? 0);

/** Whether this process is a rank that says nothing but its own errors: any but rank 0. */
export const isSilentRank = (): boolean => ownRank() > 0;

// What every rank finds out alike.
const common = [
	/^\[ranks\] (rank \d+|a process without a rank) \(process/,
	/ must be the same for all ranks /,
	/^\[ranks\] all \d+ ranks must (?!.*\brank 0\b)/,
	/^\[ranks\] all ranks must come to a collective/,
];

/**
 * Whether another rank of a run says this error: of what ends all of them one line is enough. Rank 0 says it, or rank 1 where it is of
 * rank 0.
 */
export function isToldByAnother(error: unknown): boolean {
	// A launcher passes Ctrl-C on to all.
	if (error instanceof AbortedError) return isSilentRank();
	if (!(error instanceof RankError) || !common.some((form) => form.test(error.message))) return false;
	// Of this rank itself, whatever it found out.
	if (error.message.startsWith(`[ranks] rank ${ownRank()} (`)) return false;
	return ownRank() !== (error.message.startsWith('[ranks] rank 0 (') ? 1 : 0);
}
