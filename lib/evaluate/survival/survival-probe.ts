import { nativeAddon, nativeCall } from '../../native.js';
import { sampleKey } from '../../tasks/read.js';
import type { SurvivalLabelRow } from '../../tasks/survival-labels.js';
import type { Split } from '../../types.js';
import { type FeatureTable, linear, Standardiser, selectRows } from '../features.js';
import { definedValue } from '../metrics.js';
import { chosenPenalty } from '../penalties.js';
import { byDescendingTime, CensoringCurve, type FollowUp } from './follow-up.js';
import { inPeriods, periodEnds } from './periods.js';
import type { SurvivalProbeKind } from './survival-file.js';
import { RankedSurvival } from './survival-metrics.js';

/** Strengths that are tried; the one with the best concordance on tuning is taken. */
const l2Grid = [1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1, 10] as const;
/** Taken when tuning cannot tell them apart. */
const l2Default = 0.1;

/** A risk that grows with the score, and how it becomes a probability. */
export type Baseline =
	/** Breslow's estimate: 1 - exp(-exp(logHazard + score)), the logarithm of the cumulative hazard after each time of an event. */
	| { readonly kind: 'cox'; readonly days: Float64Array; readonly logHazard: Float64Array }
	/** Hazard of each period: 1 / (1 + exp(-(intercept + score))). */
	| { readonly kind: 'hazard'; readonly ends: readonly number[]; readonly intercepts: Float64Array };

/** What a model says of the held-out samples. */
export interface SurvivalRisks {
	/** Null where no linear probe was fitted. */
	readonly l2: number | null;
	readonly nTrainSamples: number;
	readonly nTrainEvents: number;
	/** (held-out labels,) higher is a higher risk. */
	readonly scores: Float64Array;
	readonly baseline: Baseline;
}

export interface FittedSurvivalProbe extends SurvivalRisks {
	readonly l2: number;
	/** (columns,) of standardised features. */
	readonly weights: Float64Array;
	readonly standardiser: Standardiser;
	/** Of the training samples. */
	readonly censoring: CensoringCurve;
}

/** Why there is no probe. */
interface NoSurvivalProbe {
	readonly undefinedReason: string;
	readonly nTrainSamples: number;
	readonly nTrainEvents: number;
}

export type SurvivalReading = SurvivalRisks | NoSurvivalProbe;

export function followUpOf(labels: readonly SurvivalLabelRow[]): FollowUp & { readonly events: Uint8Array } {
	return {
		days: Float64Array.from(labels, ({ days }) => days),
		events: Uint8Array.from(labels, ({ event }) => (event ? 1 : 0)),
	};
}

/**
 * Probe for the time to an event on frozen features: standardised on train, L2 chosen on tuning, read on held-out.
 *
 * @param kind - Cox proportional hazards with Efron's ties, or discrete-time hazards over periods of about equal numbers of events.
 * @param labels - By split; every one has a row in the table.
 * @returns The reason when train has no event, or nobody without.
 * @throws {NativeError}
 */
export async function fitSurvivalProbe(
	kind: SurvivalProbeKind,
	table: FeatureTable,
	rowOf: ReadonlyMap<string, number>,
	labels: Readonly<Record<Split, readonly SurvivalLabelRow[]>>,
): Promise<FittedSurvivalProbe | NoSurvivalProbe> {
	const rowsOf = (split: Split) => labels[split].map((label) => rowOf.get(sampleKey(label))!);
	const followUp = followUpOf(labels.train);
	const counts = {
		nTrainSamples: labels.train.length,
		nTrainEvents: followUp.events.reduce((sum, event) => sum + event, 0),
	};
	const undefinedReason = missingEvents(counts);
	if (undefinedReason !== undefined) return { undefinedReason, ...counts };
	const train = selectRows(table, rowsOf('train'));
	const standardiser = new Standardiser(train, table.columns);
	const standardised = standardiser.apply(train);
	const fit = kind === 'cox' ? fitCox : fitHazard;
	const solve = await fit(standardised, table.columns, followUp);
	if (typeof solve === 'string') return { undefinedReason: solve, ...counts };
	const tuning = followUpOf(labels.tuning);
	const tuningFeatures = standardiser.apply(selectRows(table, rowsOf('tuning')));
	const censoring = new CensoringCurve(followUp);
	const ones = new Float64Array(labels.tuning.length).fill(1);
	const best = chosenPenalty(kind, { l2: l2Grid, otherwise: l2Default, converged: solve.converged }, (i) => {
		const scores = scoresOf(tuningFeatures, table.columns, solve.weights(i));
		return definedValue(new RankedSurvival(scores, tuning, censoring, []).metrics(ones).concordance);
	});
	const weights = Float64Array.from(solve.weights(best));
	return {
		l2: l2Grid[best]!,
		...counts,
		scores: scoresOf(standardiser.apply(selectRows(table, rowsOf('held_out'))), table.columns, weights),
		weights,
		standardiser,
		baseline: solve.baseline(best),
		censoring,
	};
}

/** Why nothing can be fitted to times of train; undefined when it can. */
export function missingEvents({
	nTrainSamples,
	nTrainEvents,
}: Pick<SurvivalRisks, 'nTrainSamples' | 'nTrainEvents'>): string | undefined {
	if (nTrainSamples === 0) return 'no samples in train';
	return nTrainEvents === 0 ? `no events in train (${nTrainSamples} samples)` : undefined;
}

/** Risk scores of rows of a table. */
export function survivalScores(
	{ weights, standardiser }: Pick<FittedSurvivalProbe, 'weights' | 'standardiser'>,
	table: FeatureTable,
	rows: readonly number[],
): Float64Array {
	return scoresOf(standardiser.apply(selectRows(table, rows)), table.columns, weights);
}

/** Probability of the event within so many days. */
export function riskWithin(baseline: Baseline, days: number, score: number): number {
	if (baseline.kind === 'cox') {
		const place = baseline.days.findLastIndex((time) => time <= days);
		return place < 0 ? 0 : -Math.expm1(-Math.exp(baseline.logHazard[place]! + score));
	}
	let [without, start] = [1, 0];
	for (const [period, end] of baseline.ends.entries()) {
		if (days <= start) break;
		const hazard = 1 / (1 + Math.exp(-(baseline.intercepts[period]! + score)));
		// A part of a period holds its part of the cumulative hazard.
		without *= (1 - hazard) ** Math.min(1, (days - start) / (end - start));
		start = end;
	}
	return 1 - without;
}

interface Solutions {
	/** Of each penalty: 1 where a solution was found. */
	readonly converged: Uint8Array;
	/** (columns,) of a penalty, by place. */
	readonly weights: (place: number) => Float64Array;
	readonly baseline: (place: number) => Baseline;
}

async function fitCox(
	features: Float32Array,
	columns: number,
	followUp: FollowUp & { readonly events: Uint8Array },
): Promise<Solutions> {
	const rows = followUp.events.length;
	const result = await nativeCall(() =>
		nativeAddon().fitCox({
			features,
			rows,
			columns,
			times: Float64Array.from(followUp.days),
			events: followUp.events,
			weights: new Float64Array(),
			l2: Float64Array.from(l2Grid),
		}),
	);
	const weights = (place: number) => result.weights.subarray(place * columns, (place + 1) * columns);
	const { converged } = result;
	return { converged, weights, baseline: (place) => breslow(followUp, scoresOf(features, columns, weights(place))) };
}

async function fitHazard(features: Float32Array, columns: number, followUp: FollowUp): Promise<Solutions | string> {
	const ends = periodEnds(followUp);
	if (ends.length === 0) return 'no sample in train outlives the last event: hazards have no finite estimate';
	const { atRisk, events } = inPeriods(followUp, ends);
	const width = columns + ends.length;
	const result = await nativeCall(() =>
		nativeAddon().fitHazard({
			features,
			rows: events.length,
			columns,
			atRisk,
			events,
			periods: ends.length,
			weights: new Float64Array(),
			l2: Float64Array.from(l2Grid),
		}),
	);
	return {
		converged: result.converged,
		weights: (place) => result.weights.subarray(place * width, place * width + columns),
		baseline: (place) => ({
			kind: 'hazard',
			ends,
			intercepts: Float64Array.from(result.weights.subarray(place * width + columns, (place + 1) * width)),
		}),
	};
}

function scoresOf(features: Float32Array, columns: number, weights: Float64Array): Float64Array {
	return linear(features, columns, [...weights, 0]);
}

/** Breslow's estimate of the baseline. @param scores - Of the training samples. */
export function breslow({ days, events }: FollowUp, scores: Float64Array): Baseline {
	const order = byDescendingTime({ days, events });
	const steps: { readonly day: number; readonly logStep: number }[] = [];
	// Logarithms: exponentials of scores may be beyond float64.
	let atRisk = Number.NEGATIVE_INFINITY;
	for (let i = 0; i < order.length; ) {
		const day = days[order[i]!]!;
		let seen = 0;
		for (; i < order.length && days[order[i]!] === day; i++) {
			atRisk = logSum(atRisk, scores[order[i]!]!);
			seen += events[order[i]!]!;
		}
		if (seen > 0) steps.push({ day, logStep: Math.log(seen) - atRisk });
	}
	steps.reverse();
	let sum = Number.NEGATIVE_INFINITY;
	return {
		kind: 'cox',
		days: Float64Array.from(steps, ({ day }) => day),
		logHazard: Float64Array.from(steps, ({ logStep }) => {
			sum = logSum(sum, logStep);
			return sum;
		}),
	};
}

/** log(exp(a) + exp(b)) */
function logSum(a: number, b: number): number {
	const high = Math.max(a, b);
	return high === Number.NEGATIVE_INFINITY ? high : high + Math.log1p(Math.exp(Math.min(a, b) - high));
}
