import { z } from 'zod';
import type { Estimate } from '../estimate.js';
import {
	type BootstrapOptions,
	bootstrapCells,
	type CellStatistics,
	difference,
	type Statistic,
} from '../intervals.js';
import type { Metric } from '../metrics.js';
import type { CensoringCurve, FollowUp } from './follow-up.js';
import { comparedSurvivalMetrics, type SurvivalDifference, survivalNumbers } from './survival-file.js';
import { RankedSurvival, type SurvivalMetrics } from './survival-metrics.js';
import { tooFewAt, tooFewEvents } from './too-few.js';

/** Resamples read neighbouring scores as one when there are more: a rank to 1 / 4096. */
const resampledLevels = 4096;

const SurvivalNumbers = z.strictObject(survivalNumbers);
/** Every number of one risk score, with its interval. */
export type SurvivalNumbers = z.infer<typeof SurvivalNumbers>;

/** What models are read on, and with which horizons. */
export interface SurvivalOutcomes {
	/** (samples,) */
	readonly patients: readonly bigint[];
	readonly followUp: FollowUp;
	/** Of the training samples. */
	readonly censoring: CensoringCurve;
	/** Days, ascending. */
	readonly horizons: readonly number[];
}

/** a - b in one metric, by place. */
export type SurvivalContrast = Pick<SurvivalDifference, 'metric' | 'difference'> & {
	readonly a: number;
	readonly b: number;
};

/**
 * Every metric of several risk scores on the same samples, with patient-level intervals and paired differences. Values are
 * exact; resamples of many scores read neighbours as one.
 *
 * @param models - (samples,) risk scores of each.
 * @throws {DataError} For a score that is not finite. {AbortedError}
 */
export async function survivalEstimates(
	{ patients, followUp, censoring, horizons }: SurvivalOutcomes,
	models: readonly ArrayLike<number>[],
	pairs: readonly (readonly [a: number, b: number])[],
	options: BootstrapOptions,
): Promise<{ readonly models: SurvivalNumbers[]; readonly differences: SurvivalContrast[] }> {
	const groups: CellStatistics[] = [];
	const found: Metric[] = [];
	const cellOf = new Int32Array(patients.length);
	const tooFew = tooFewEvents(patients, followUp);
	const thin = horizons.map((horizon) => tooFew ?? tooFewAt(patients, followUp, horizon));
	// In the order of the metrics: the integral needs every horizon.
	const reasons = [tooFew, tooFew, thin.find((reason) => reason !== undefined), ...thin];
	for (const scores of models) {
		const exact = new RankedSurvival(scores, followUp, censoring, horizons);
		const values = inOrder(exact.metrics(new Float64Array(patients.length).fill(1)));
		for (const [k, value] of values.entries()) {
			const reason = reasons[k];
			found.push(reason === undefined ? value : { undefinedReason: reason });
		}
		const resampled = new RankedSurvival(scores, followUp, censoring, horizons, resampledLevels);
		// The order is that of times, which is the same for every model.
		for (const [place, sample] of resampled.order.entries()) cellOf[sample] = place;
		groups.push({ cellOf, cells: patients.length, statistics: together(resampled, values.length) });
	}
	const perModel = comparedSurvivalMetrics.length + horizons.length;
	const compared = pairs.flatMap(([a, b]) => comparedSurvivalMetrics.map((metric, k) => ({ a, b, metric, k })));
	const { estimates, contrasts } = await bootstrapCells(
		patients,
		groups,
		found,
		compared.map(({ a, b, k }) => difference(a * perModel + k, b * perModel + k)),
		// Without a value there is nothing to resample.
		found.every((metric) => !('value' in metric)) ? { ...options, draws: 0 } : options,
	);
	const counts = horizons.map((horizon) => countsAt(followUp, horizon));
	return {
		models: models.map((_, i) => {
			const own = estimates.slice(i * perModel, (i + 1) * perModel);
			return { ...named(own), aurocs: horizons.map((horizonDays, k) => atHorizon(horizonDays, own, counts[k]!, k)) };
		}),
		differences: compared.map(({ k: _, ...pair }, i) => ({ ...pair, difference: contrasts[i]! })),
	};
}

/** The numbers of a model without a probe. */
export function undefinedSurvivalNumbers(
	undefinedReason: string,
	{ followUp, horizons }: Pick<SurvivalOutcomes, 'followUp' | 'horizons'>,
): SurvivalNumbers {
	const none: Estimate = { value: null, low: null, high: null, undefinedReason };
	const own = Array.from({ length: comparedSurvivalMetrics.length + horizons.length }, () => none);
	return {
		...named(own),
		aurocs: horizons.map((horizonDays, k) => atHorizon(horizonDays, own, countsAt(followUp, horizonDays), k)),
	};
}

/** The metrics as a list: those that are compared, then the horizons. */
function inOrder({ aurocs, ...metrics }: SurvivalMetrics): Metric[] {
	return [...comparedSurvivalMetrics.map((name) => metrics[name]), ...aurocs];
}

function named(estimates: readonly Estimate[]): Omit<SurvivalNumbers, 'aurocs'> {
	const [concordance, ipcwConcordance, integratedAuroc] = estimates as [Estimate, Estimate, Estimate];
	return { concordance, ipcwConcordance, integratedAuroc };
}

function atHorizon(
	horizonDays: number,
	estimates: readonly Estimate[],
	counts: { readonly nEvents: number; readonly nBeyond: number },
	place: number,
): SurvivalNumbers['aurocs'][number] {
	return { horizonDays, auroc: estimates[comparedSurvivalMetrics.length + place]!, ...counts };
}

/** Statistics that one pass finds together: the first makes it, the others read what it found. */
function together(ranked: RankedSurvival, count: number): Statistic[] {
	let found: Metric[] = [];
	return Array.from(
		{ length: count },
		(_, k): Statistic =>
			(weights) => {
				if (k === 0) found = inOrder(ranked.metrics(weights));
				return found[k]!;
			},
	);
}

function countsAt({ days, events }: FollowUp, horizon: number): { readonly nEvents: number; readonly nBeyond: number } {
	let [nEvents, nBeyond] = [0, 0];
	for (let i = 0; i < days.length; i++) {
		if (days[i]! > horizon) nBeyond++;
		else nEvents += events[i]!;
	}
	return { nEvents, nBeyond };
}
