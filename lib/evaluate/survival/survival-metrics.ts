import { DataError } from '../../errors.js';
import type { Metric } from '../metrics.js';
import { byDescendingTime, type CensoringCurve, type FollowUp, requireFollowUp } from './follow-up.js';

/** Below this share of samples that are still followed, inverse weights rest on a handful of patients. @internal */
export const leastFollowed = 0.01;

/** Every number of a risk score against the time to an event. */
export interface SurvivalMetrics {
	/** Harrell's C: of two samples of which the event is known to have come to one first, how often that one scored higher. */
	readonly concordance: Metric;
	/** Uno's C up to the last horizon: pairs weigh the inverse square of the share that is still followed. */
	readonly ipcwConcordance: Metric;
	/** Cumulative/dynamic AUROC at each horizon: events up to it against samples followed beyond it. */
	readonly aurocs: readonly Metric[];
	/** Their mean, each weighted by the share of samples to whom the event comes since the horizon before. */
	readonly integratedAuroc: Metric;
}

const undefinedMetric = (undefinedReason: string): Metric => ({ undefinedReason });

/** Risk scores with the follow-up of their samples, sorted once and read for every resample. */
export class RankedSurvival {
	/** (samples,) places by descending time; weights are given in this order. */
	readonly order: Int32Array;
	/** In the same order: times, events, and inverse shares that are followed; 0 where too few are. */
	readonly #days: Float64Array;
	readonly #events: Uint8Array;
	readonly #inverse: Float64Array;
	/** In the same order: level of the score, 0 the lowest. Equal scores share one. */
	readonly #levels: Int32Array;
	readonly #levelCount: number;
	readonly #horizons: readonly number[];
	/** How many samples are followed beyond each horizon: they come first. */
	readonly #beyond: readonly number[];
	/** Why inverse weights cannot be had up to each horizon. */
	readonly #thin: readonly (string | undefined)[];
	readonly #tree: Float64Array;

	/**
	 * @param scores - (samples,) higher is a higher risk.
	 * @param censoring - Of the training samples.
	 * @param horizons - Days, ascending.
	 * @param mostLevels - Of more distinct scores, neighbours are read as one.
	 * @throws {DataError} For a score that is not finite, or a follow-up that is none.
	 */
	constructor(
		scores: ArrayLike<number>,
		followUp: FollowUp,
		censoring: CensoringCurve,
		horizons: readonly number[],
		mostLevels = Number.POSITIVE_INFINITY,
	) {
		requireFollowUp(followUp);
		const { days, events } = followUp;
		requireScores(scores, days.length);
		this.order = byDescendingTime(followUp);
		this.#days = Float64Array.from(this.order, (i) => days[i]!);
		this.#events = Uint8Array.from(this.order, (i) => events[i]!);
		this.#inverse = new Float64Array(scores.length);
		for (let i = 0; i < scores.length; i++) {
			if (this.#events[i] === 0) continue;
			const followed = censoring.at(this.#days[i]!);
			this.#inverse[i] = followed >= leastFollowed ? 1 / followed : 0;
		}
		const { levels, count } = levelsOf(scores, mostLevels);
		this.#levels = Int32Array.from(this.order, (i) => levels[i]!);
		this.#levelCount = count;
		this.#tree = new Float64Array(count + 1);
		this.#horizons = horizons;
		this.#beyond = horizons.map((horizon) => {
			const first = this.#days.findIndex((time) => time <= horizon);
			return first < 0 ? scores.length : first;
		});
		this.#thin = horizons.map((horizon) =>
			censoring.at(horizon) >= leastFollowed
				? undefined
				: `fewer than ${leastFollowed * 100} % of training samples are followed for ${horizon} days`,
		);
	}

	/** @param weights - (samples,) in `order`: counts of a resample, or 1. */
	metrics(weights: Float64Array): SurvivalMetrics {
		const { concordance, ipcwConcordance } = this.concordances(weights);
		const aurocs = this.#horizons.map((_, k) => this.auroc(weights, k));
		return { concordance, ipcwConcordance, aurocs, integratedAuroc: this.#integrated(weights, aurocs) };
	}

	/**
	 * Both concordances, from the latest time to the earliest: everybody whose time is later stands in a Fenwick tree by score.
	 *
	 * @param weights - As of {@link metrics}.
	 */
	concordances(weights: Float64Array): Pick<SurvivalMetrics, 'concordance' | 'ipcwConcordance'> {
		const [days, events, levels] = [this.#days, this.#events, this.#levels];
		const tree = this.#tree.fill(0);
		const last = this.#horizons.at(-1) ?? Number.POSITIVE_INFINITY;
		let [later, pairs, right, weightedPairs, weightedRight, seen] = [0, 0, 0, 0, 0, 0];
		const insert = (i: number) => {
			const weight = weights[i]!;
			later += weight;
			for (let node = levels[i]! + 1; node < tree.length; node += node & -node) tree[node]! += weight;
		};
		/** Weight of the levels below one. */
		const below = (level: number) => {
			let sum = 0;
			for (let node = level; node > 0; node -= node & -node) sum += tree[node]!;
			return sum;
		};
		for (let i = 0; i < weights.length; ) {
			// Who is censored at the time of an event outlives it; of two events at one time, none is known to be first.
			let end = i;
			const time = days[i]!;
			for (; end < weights.length && days[end] === time && events[end] === 0; end++) if (weights[end]! > 0) insert(end);
			const firstEvent = end;
			for (; end < weights.length && days[end] === time; end++) {
				const weight = weights[end]!;
				if (weight === 0) continue;
				seen += weight;
				const level = levels[end]!;
				const lower = below(level);
				const ordered = weight * (lower + (below(level + 1) - lower) / 2);
				pairs += weight * later;
				right += ordered;
				if (time > last) continue;
				const factor = this.#inverse[end]! ** 2;
				weightedPairs += factor * weight * later;
				weightedRight += factor * ordered;
			}
			for (let event = firstEvent; event < end; event++) if (weights[event]! > 0) insert(event);
			i = end;
		}
		const missing = weights.length === 0 || later === 0 ? 'no samples' : seen === 0 ? 'no events' : undefined;
		const none = (reason: string) => undefinedMetric(missing ?? reason);
		const thin = this.#thin.at(-1);
		return {
			concordance: pairs > 0 ? { value: right / pairs } : none('no event came before the end of another follow-up'),
			ipcwConcordance:
				missing === undefined && thin !== undefined
					? undefinedMetric(thin)
					: weightedPairs > 0
						? { value: weightedRight / weightedPairs }
						: none(`no event up to ${last} days came before the end of another follow-up`),
		};
	}

	/** @param weights - As of {@link metrics}. @param horizon - Its place. */
	auroc(weights: Float64Array, horizon: number): Metric {
		const beyond = this.#beyond[horizon]!;
		const [controls, cases] = [new Float64Array(this.#levelCount), new Float64Array(this.#levelCount)];
		let [controlWeight, caseWeight] = [0, 0];
		for (let i = 0; i < beyond; i++) {
			controls[this.#levels[i]!]! += weights[i]!;
			controlWeight += weights[i]!;
		}
		for (let i = beyond; i < weights.length; i++) {
			const weight = weights[i]! * this.#inverse[i]!;
			cases[this.#levels[i]!]! += weight;
			caseWeight += weight;
		}
		const days = this.#horizons[horizon]!;
		const thin = this.#thin[horizon];
		if (controlWeight + caseWeight === 0 && weights.every((weight) => weight === 0))
			return undefinedMetric('no samples');
		if (thin !== undefined) return undefinedMetric(thin);
		if (caseWeight === 0) return undefinedMetric(`no events up to ${days} days`);
		if (controlWeight === 0) return undefinedMetric(`no sample is followed beyond ${days} days`);
		let [lower, right] = [0, 0];
		for (let level = 0; level < this.#levelCount; level++) {
			right += cases[level]! * (lower + controls[level]! / 2);
			lower += controls[level]!;
		}
		return { value: right / (caseWeight * controlWeight) };
	}

	#integrated(weights: Float64Array, aurocs: readonly Metric[]): Metric {
		const survival = this.#survival(weights);
		let [sum, total, before] = [0, 0, 1];
		for (const [k, auroc] of aurocs.entries()) {
			if ('undefinedReason' in auroc) return auroc;
			const drop = before - survival[k]!;
			before = survival[k]!;
			sum += drop * auroc.value;
			total += drop;
		}
		return total > 0 ? { value: sum / total } : undefinedMetric('no events up to the last horizon');
	}

	/** Kaplan-Meier estimate of the share without the event at each horizon. */
	#survival(weights: Float64Array): number[] {
		const [days, events] = [this.#days, this.#events];
		const result = this.#horizons.map(() => 1);
		let atRisk = weights.reduce((sum, weight) => sum + weight, 0);
		let [share, next] = [1, 0];
		for (let i = weights.length - 1; i >= 0; ) {
			const time = days[i]!;
			for (; next < result.length && this.#horizons[next]! < time; next++) result[next] = share;
			let [seen, leaving] = [0, 0];
			for (; i >= 0 && days[i] === time; i--) {
				leaving += weights[i]!;
				if (events[i] === 1) seen += weights[i]!;
			}
			if (atRisk > 0) share *= 1 - seen / atRisk;
			atRisk -= leaving;
		}
		for (; next < result.length; next++) result[next] = share;
		return result;
	}
}

function requireScores(scores: ArrayLike<number>, samples: number): void {
	if (scores.length !== samples) {
		const rule = `must be as many as the ${samples} samples`;
		throw new DataError('metrics', { file: 'scores', rule, value: `${scores.length}` });
	}
	for (let i = 0; i < scores.length; i++) {
		if (!Number.isFinite(scores[i]!))
			throw new DataError('metrics', { file: 'scores', rule: 'must be finite', value: `${scores[i]} at place ${i}` });
	}
}

/** Scores by rank, equal ones sharing a level; of too many, neighbours share one. */
function levelsOf(scores: ArrayLike<number>, most: number): { readonly levels: Int32Array; readonly count: number } {
	const sorted = Float64Array.from(scores).sort();
	let distinct = 0;
	for (let i = 0; i < sorted.length; i++) {
		// -0 is 0, and sorts before it.
		if (i === 0 || sorted[i] !== sorted[distinct - 1]) sorted[distinct++] = sorted[i]!;
	}
	const shared = Math.max(1, Math.ceil(distinct / most));
	const levels = new Int32Array(scores.length);
	for (let i = 0; i < scores.length; i++) {
		let [low, high] = [0, distinct];
		while (high - low > 1) {
			const middle = (low + high) >> 1;
			if (sorted[middle]! <= scores[i]!) low = middle;
			else high = middle;
		}
		levels[i] = Math.floor(low / shared);
	}
	return { levels, count: Math.max(1, Math.ceil(distinct / shared)) };
}
