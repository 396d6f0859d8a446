import type { TrainConfig } from './train-config.js';

/** Rows of a full batch that a run's steps work on. */
export interface BatchRows {
	/** Tokens of the patients' windows. */
	readonly trunk: number;
	/** Of the latent branches. */
	readonly branch: number;
	/** Whose next token carries loss. */
	readonly scored: number;
	/** At which a state is predicted. */
	readonly predicted: number;
	/** Longest window. */
	readonly window: number;
}

/** Ours. Days differ from record to record; records with fewer tokens a day have more of them, and more rows. */
export const tokensPerDay = 20;

/** The share of a window's tokens behind its cut when both budgets are full. */
export function fullFutureShare({ contextTokens, futureTokens }: TrainConfig): number {
	return futureTokens / (contextTokens + futureTokens);
}

/**
 * How large a full batch is.
 *
 * @param futureShare - Of its tokens, those behind the cuts of their windows; by default that of windows that fill both budgets, which
 * is near the mean of real batches. Some have far more (`largestFutureShare`).
 */
export function batchRows(config: TrainConfig, futureShare = fullFutureShare(config)): BatchRows {
	const { tokensPerStep, contextTokens, futureTokens, objective } = config;
	const window = Math.min(contextTokens + futureTokens, tokensPerStep);
	const future = Math.round(tokensPerStep * futureShare);
	const { nextToken, latent } = objective;
	const scored = nextToken === null ? 0 : nextToken.on === 'all' ? tokensPerStep : future;
	if (latent === null) return { trunk: tokensPerStep, branch: 0, scored, predicted: 0, window };
	const { branch: options, cuts } = latent;
	const futures = cuts * future;
	const patients = Math.ceil(tokensPerStep / window);
	const [branch, predicted] = {
		masked: () => [futures, futures * (options.kind === 'masked' ? options.ratio : 1)] as const,
		query: () => {
			const share = options.kind === 'query' && options.at === 'positions' ? (options.share ?? 0.05) : 1 / tokensPerDay;
			return [futures * share, futures * share] as const;
		},
		state: () => [0, futures / tokensPerDay] as const,
		views: () => [futures + patients * cuts, patients * cuts] as const,
	}[options.kind]();
	return { trunk: tokensPerStep, branch: Math.ceil(branch), scored, predicted: Math.ceil(predicted), window };
}
