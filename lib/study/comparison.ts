import type { Estimate } from '../evaluate/evaluation-file.js';
import { type BootstrapOptions, bootstrap, type Contrast, type Statistic } from '../evaluate/intervals.js';
import type { LongOperation } from '../types.js';
import type { OverSeeds, StudyRow } from './study-file.js';

/** Coverage of every interval. */
export const comparisonLevel = 0.95;

/** One number that every model has, by seed, on the same samples. */
export interface Measure extends Pick<StudyRow, 'quantity' | 'task' | 'horizonDays'> {
	/** (samples,) patient of each; or, for losses of batches, the batch, whose patients are in no other. */
	readonly patients: readonly bigint[];
	readonly nSamples: number;
	readonly nPatients: number;
	readonly nPositives: number | null;
	/** Why no model has it. */
	readonly undefinedReason?: string | undefined;
	/** By model and seed; one entry for a model without seeds. A model that lacks it is left out. */
	readonly statistics: ReadonlyMap<string, readonly Statistic[]>;
}

/** Measures of the same models whose mean is a number of its own: AUROC over the tasks of a horizon. */
export interface MeanOfMeasures {
	readonly task: string;
	readonly measures: readonly Measure[];
}

/** Who is compared with whom. */
export type Pairs = readonly (readonly [model: string, minus: string])[];

/**
 * Values and paired differences of every measure, by seed and as means over seeds, from one set of resamples: patients are
 * drawn with replacement, all samples of all tasks of a patient go together, and means over seeds and tasks and differences
 * are formed within a resample. The intervals of means over seeds therefore hold which patients were measured, for the
 * models that were trained; how much training again would change them is in `overSeeds`.
 *
 * @throws {AbortedError}
 */
export async function compare(
	measures: readonly Measure[],
	means: readonly MeanOfMeasures[],
	pairs: Pairs,
	options: BootstrapOptions,
): Promise<StudyRow[]> {
	const plan = new ContrastPlan();
	for (const measure of measures) plan.measure(measure);
	const rows: RowPlan[] = [];
	for (const measure of measures) {
		for (const [model] of measure.statistics) rows.push(...plan.rows([measure], measure, model, null));
		for (const [model, minus] of pairs) rows.push(...plan.rows([measure], measure, model, minus));
	}
	for (const { task, measures: parts } of means) {
		const defined = parts.filter(({ undefinedReason }) => undefinedReason === undefined);
		const first = defined[0];
		if (first === undefined) continue;
		const about: RowSubject = {
			...first,
			task,
			nSamples: defined.reduce((sum, { nSamples }) => sum + nSamples, 0),
			nPatients: new Set(defined.flatMap(({ patients }) => patients)).size,
			nPositives: null,
		};
		for (const [model] of first.statistics) rows.push(...plan.rows(defined, about, model, null));
		for (const [model, minus] of pairs) rows.push(...plan.rows(defined, about, model, minus));
	}
	const { contrasts } = await bootstrap(
		plan.patients,
		plan.statistics,
		rows.map(({ contrast }) => contrast),
		options,
	);
	const results = rows.map(({ row, undefinedReason }, i): StudyRow => {
		const estimate: Estimate =
			undefinedReason === undefined ? contrasts[i]! : { value: null, low: null, high: null, undefinedReason };
		return { ...row, estimate, overSeeds: null };
	});
	return results.map((row, i) => {
		const values = rows[i]!.bySeed.map((offset) => results[i + offset]!.estimate.value);
		return { ...row, overSeeds: spread(values) };
	});
}

/** Resamples of a comparison, with their progress. */
export function comparisonBootstrap(
	{ draws, seed }: { readonly draws: number; readonly seed: number },
	{ signal, onProgress }: LongOperation,
): BootstrapOptions {
	const onDraws = (done: number) => onProgress?.({ stage: 'intervals', done, total: draws, unit: 'resamples' });
	return { draws, level: comparisonLevel, seed, signal, onDraws };
}

type RowSubject = Pick<StudyRow, 'quantity' | 'task' | 'horizonDays' | 'nSamples' | 'nPatients' | 'nPositives'>;

interface RowPlan {
	readonly row: Omit<StudyRow, 'estimate' | 'overSeeds'>;
	readonly contrast: Contrast;
	readonly undefinedReason: string | undefined;
	/** Where the rows of single seeds lie, counted from this row; empty for those themselves. */
	readonly bySeed: readonly number[];
}

/** Lays the samples of all measures end to end, so that one resample of patients serves them all. */
class ContrastPlan {
	readonly patients: bigint[] = [];
	readonly statistics: Statistic[] = [];
	readonly #first = new Map<Measure, ReadonlyMap<string, { readonly index: number; readonly seeds: number }>>();

	measure(measure: Measure): void {
		const begin = this.patients.length;
		this.patients.push(...measure.patients);
		const end = this.patients.length;
		const places = new Map<string, { index: number; seeds: number }>();
		for (const [model, statistics] of measure.statistics) {
			places.set(model, { index: this.statistics.length, seeds: statistics.length });
			for (const statistic of statistics) this.statistics.push((weights) => statistic(weights.subarray(begin, end)));
		}
		this.#first.set(measure, places);
	}

	/** The mean over seeds and measures of a model, or of its difference to another, and then the same of every seed. */
	rows(measures: readonly Measure[], about: RowSubject, model: string, minus: string | null): RowPlan[] {
		const { quantity, task, horizonDays, nSamples, nPatients, nPositives } = about;
		const first = this.#first.get(measures[0]!)!;
		const own = first.get(model);
		const other = minus === null ? undefined : first.get(minus);
		if (own === undefined || (minus !== null && other === undefined)) return [];
		const undefinedReason = measures[0]!.undefinedReason;
		const seeds = Math.max(own.seeds, other?.seeds ?? 1);
		const row = (seed: number | null, bySeed: readonly number[]): RowPlan => ({
			row: { model, minus, seed, quantity, task, horizonDays, nSamples, nPatients, nPositives },
			contrast:
				undefinedReason === undefined
					? [
							...this.#mean(measures, model, seed, 1 / measures.length),
							...(minus === null ? [] : this.#mean(measures, minus, seed, -1 / measures.length)),
						]
					: [],
			undefinedReason,
			bySeed,
		});
		if (seeds === 1) return [row(null, [])];
		const offsets = Array.from({ length: seeds }, (_, i) => i + 1);
		return [row(null, offsets), ...offsets.map((seed) => row(seed, []))];
	}

	#mean(measures: readonly Measure[], model: string, seed: number | null, weight: number): Contrast {
		return measures.flatMap((measure) => {
			const { index, seeds } = this.#first.get(measure)!.get(model)!;
			// A model without seeds is the same beside every seed.
			if (seed !== null) return [{ statistic: index + (seeds === 1 ? 0 : seed - 1), weight }];
			return Array.from({ length: seeds }, (_, i) => ({ statistic: index + i, weight: weight / seeds }));
		});
	}
}

function spread(values: readonly (number | null)[]): OverSeeds | null {
	const defined = values.filter((value) => value !== null);
	if (defined.length < 2 || defined.length < values.length) return null;
	const mean = defined.reduce((sum, value) => sum + value, 0) / defined.length;
	const squares = defined.reduce((sum, value) => sum + (value - mean) ** 2, 0);
	return {
		seeds: defined.length,
		sd: Math.sqrt(squares / (defined.length - 1)),
		low: Math.min(...defined),
		high: Math.max(...defined),
	};
}
