import { setImmediate } from 'node:timers/promises';
import { AbortedError } from '../errors.js';
import { RandomStream } from '../random.js';
import type { Estimate } from './evaluation-file.js';
import { isDefined, type Metric } from './metrics.js';

/** Resamples that an interval of 95 % needs: one at least lies beyond each of its ends. */
export const smallestDraws = 40;

export interface BootstrapOptions {
	readonly draws: number;
	/** Coverage of the percentile interval, such as 0.95. */
	readonly level: number;
	readonly seed: number;
	readonly signal?: AbortSignal | undefined;
	/** Called from time to time with the number of finished resamples. */
	readonly onDraws?: ((done: number) => void) | undefined;
}

/** One statistic of a resample; several together are compared on the same resamples. */
export type Statistic = (weights: Float64Array) => Metric;

/** Statistics of samples that are alike within a cell: each is given the weights of the cells. */
export interface CellStatistics {
	/** (samples,) the cell of each. */
	readonly cellOf: Int32Array;
	readonly cells: number;
	readonly statistics: readonly Statistic[];
	/** The same of cells of these cells. */
	readonly coarser?: CellStatistics;
}

/** Linear combination of statistics, by index: a difference is 1 and -1, a mean over seeds 1/seeds each. */
export type Contrast = readonly { readonly statistic: number; readonly weight: number }[];

export function difference(a: number, b: number): Contrast {
	return [
		{ statistic: a, weight: 1 },
		{ statistic: b, weight: -1 },
	];
}

// The event loop waits no longer than this.
const yieldAfterMs = 20;

/**
 * Patient-level bootstrap: patients are drawn with replacement and all samples of a patient go with it, because samples
 * of one patient are not independent. Percentile intervals. The resamples depend on (seed, number of patients) alone, so
 * that statistics of several models are paired.
 *
 * Resamples in which a statistic is undefined are left out; when they are half of all, the interval is null.
 *
 * @param patients - (samples,) patient of each sample.
 * @param statistics - Each is evaluated on the sample and on every resample.
 * @param contrasts - Each is formed within a resample, so that what two statistics share cancels in their difference.
 *   Undefined where one of its statistics is.
 */
export async function bootstrap(
	patients: readonly bigint[],
	statistics: readonly Statistic[],
	contrasts: readonly Contrast[],
	options: BootstrapOptions,
): Promise<{ readonly estimates: Estimate[]; readonly contrasts: Estimate[] }> {
	const each = Int32Array.from({ length: patients.length }, (_, i) => i);
	const ones = new Float64Array(patients.length).fill(1);
	const found = statistics.map((statistic) => statistic(ones));
	const groups = [{ cellOf: each, cells: patients.length, statistics }];
	return bootstrapCells(patients, groups, found, contrasts, options);
}

/**
 * The same of statistics on cells of samples, which are many fewer than the samples.
 *
 * @param found - Value of each statistic on the samples, in the order of the groups, each before its coarser one; a resample may
 *   be read less exactly.
 */
export async function bootstrapCells(
	patients: readonly bigint[],
	groups: readonly CellStatistics[],
	found: readonly Metric[],
	contrasts: readonly Contrast[],
	options: BootstrapOptions,
): Promise<{ readonly estimates: Estimate[]; readonly contrasts: Estimate[] }> {
	const { count, offsets, order } = byPatient(patients);
	// Samples of a patient side by side: a resample then goes through memory once, from end to end.
	const places = groups.map(({ cellOf }) => Int32Array.from(order, (sample) => cellOf[sample]!));
	const weights = groups.map(weightsOf);
	const resampled = found.map(() => new Float64Array(options.draws).fill(Number.NaN));
	const counts = new Int32Array(count);
	let yieldedAt = performance.now();
	for (let draw = 0; draw < options.draws && count > 0; draw++) {
		const random = new RandomStream(options.seed, 'bootstrap', draw);
		counts.fill(0);
		for (let i = 0; i < count; i++) counts[random.integer(count)]!++;
		let number = 0;
		for (const [g, statistics] of groups.entries()) {
			gatherWeights(weights[g]!.own, places[g]!, offsets, counts);
			for (const metric of values(statistics, weights[g]!)) {
				if (isDefined(metric)) resampled[number]![draw] = metric.value;
				number++;
			}
			if (performance.now() - yieldedAt > yieldAfterMs) {
				await setImmediate();
				if (options.signal?.aborted) throw new AbortedError('[evaluate] aborted', { cause: options.signal.reason });
				options.onDraws?.(draw + 1);
				yieldedAt = performance.now();
			}
		}
	}
	const estimates = found.map((metric, i) => estimate(metric, resampled[i]!, options.level));
	const combined = contrasts.map((contrast) => {
		const missing = contrast.map(({ statistic }) => found[statistic]!).find((metric) => !isDefined(metric));
		const combine = (of: (statistic: number) => number) =>
			contrast.reduce((sum, { statistic, weight }) => sum + weight * of(statistic), 0);
		return estimate(
			missing ?? { value: combine((i) => (found[i] as { readonly value: number }).value) },
			Float64Array.from({ length: options.draws }, (_, draw) => combine((i) => resampled[i]![draw]!)),
			options.level,
		);
	});
	return { estimates, contrasts: combined };
}

/** Weights of the cells, and of those of each coarser level. */
interface Weights {
	readonly own: Float64Array;
	readonly coarser: Weights | undefined;
}

function weightsOf({ cells, coarser }: CellStatistics): Weights {
	return { own: new Float64Array(cells), coarser: coarser === undefined ? undefined : weightsOf(coarser) };
}

/** The statistics of a resample whose finest weights are known. */
function* values({ statistics, coarser }: CellStatistics, weights: Weights): Generator<Metric> {
	for (const statistic of statistics) yield statistic(weights.own);
	if (coarser === undefined || weights.coarser === undefined) return;
	const { own } = weights.coarser;
	own.fill(0);
	for (let cell = 0; cell < weights.own.length; cell++) own[coarser.cellOf[cell]!]! += weights.own[cell]!;
	yield* values(coarser, weights.coarser);
}

/** Samples in the order of their patients, who are numbered as they first come. */
function byPatient(patients: readonly bigint[]): {
	readonly count: number;
	/** (patients + 1,) where the samples of each start in `order`. */
	readonly offsets: Int32Array;
	/** (samples,) */
	readonly order: Int32Array;
} {
	const numbers = new Map<bigint, number>();
	const patientOf = new Int32Array(patients.length);
	for (const [sample, patient] of patients.entries()) {
		let number = numbers.get(patient);
		if (number === undefined) {
			number = numbers.size;
			numbers.set(patient, number);
		}
		patientOf[sample] = number;
	}
	const offsets = new Int32Array(numbers.size + 1);
	for (const patient of patientOf) offsets[patient + 1]!++;
	for (let i = 0; i < numbers.size; i++) offsets[i + 1]! += offsets[i]!;
	const next = offsets.slice();
	const order = new Int32Array(patients.length);
	for (const [sample, patient] of patientOf.entries()) order[next[patient]!++] = sample;
	return { count: numbers.size, offsets, order };
}

/** Adds up how often the samples of each cell were drawn. */
function gatherWeights(weights: Float64Array, places: Int32Array, offsets: Int32Array, counts: Int32Array): void {
	weights.fill(0);
	for (let patient = 0; patient < counts.length; patient++) {
		const drawn = counts[patient]!;
		if (drawn === 0) continue;
		const end = offsets[patient + 1]!;
		let i = offsets[patient]!;
		// Four at a time takes half the time of one after the other: 10 against 22 ms for 10 M samples.
		for (; i + 3 < end; i += 4) {
			const [a, b, c, d] = [places[i]!, places[i + 1]!, places[i + 2]!, places[i + 3]!];
			weights[a]! += drawn;
			weights[b]! += drawn;
			weights[c]! += drawn;
			weights[d]! += drawn;
		}
		for (; i < end; i++) weights[places[i]!]! += drawn;
	}
}

function estimate(metric: Metric, resamples: Float64Array, level: number): Estimate {
	if (!isDefined(metric)) return { value: null, low: null, high: null, undefinedReason: metric.undefinedReason };
	const defined = resamples.filter((value) => !Number.isNaN(value)).sort();
	if (defined.length * 2 <= resamples.length) return { value: metric.value, low: null, high: null };
	return { value: metric.value, low: percentile(defined, (1 - level) / 2), high: percentile(defined, (1 + level) / 2) };
}

/** Linear interpolation between order statistics (NumPy's default). @param sorted - Ascending, not empty. */
export function percentile(sorted: Float64Array, share: number): number {
	const position = share * (sorted.length - 1);
	const below = Math.floor(position);
	const above = Math.min(sorted.length - 1, below + 1);
	return sorted[below]! + (position - below) * (sorted[above]! - sorted[below]!);
}
