import { setImmediate } from 'node:timers/promises';
import { AbortedError } from '../errors.js';
import { nativeAddon, nativeCall } from '../native.js';
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
	patients: ArrayLike<bigint>,
	statistics: readonly Statistic[],
	contrasts: readonly Contrast[],
	options: BootstrapOptions,
): Promise<{ readonly estimates: Estimate[]; readonly contrasts: Estimate[] }> {
	const each = new Int32Array(patients.length).map((_, i) => i);
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
	patients: ArrayLike<bigint>,
	groups: readonly CellStatistics[],
	found: readonly Metric[],
	contrasts: readonly Contrast[],
	options: BootstrapOptions,
): Promise<{ readonly estimates: Estimate[]; readonly contrasts: Estimate[] }> {
	const cells = groups.reduce((sum, group) => sum + group.cells, 0);
	const weights = groups.map(({ coarser }) => (coarser === undefined ? [] : levelsOf(coarser)));
	const resampled = found.map(() => new Float64Array(options.draws).fill(Number.NaN));
	let yieldedAt = performance.now();
	for await (const { first, counted } of resamples(patients, groups, options)) {
		for (let draw = first; draw < first + counted.length / cells; draw++) {
			let [number, at] = [0, (draw - first) * cells];
			for (const [g, group] of groups.entries()) {
				for (const metric of values(group, counted.subarray(at, at + group.cells), weights[g]!)) {
					if (isDefined(metric)) resampled[number]![draw] = metric.value;
					number++;
				}
				at += group.cells;
				if (performance.now() - yieldedAt > yieldAfterMs) {
					await setImmediate();
					if (options.signal?.aborted) throw new AbortedError('[evaluate] aborted', { cause: options.signal.reason });
					options.onDraws?.(draw + 1);
					yieldedAt = performance.now();
				}
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

/** Room for the weights of cells and of those of each coarser level. */
function levelsOf({ cells, coarser }: CellStatistics): Float64Array[] {
	return [new Float64Array(cells), ...(coarser === undefined ? [] : levelsOf(coarser))];
}

/** The statistics of a resample whose finest weights are known. */
function* values(
	{ statistics, coarser }: CellStatistics,
	weights: Float64Array,
	[own, ...rest]: readonly Float64Array[],
): Generator<Metric> {
	for (const statistic of statistics) yield statistic(weights);
	if (coarser === undefined || own === undefined) return;
	own.fill(0);
	for (let cell = 0; cell < weights.length; cell++) own[coarser.cellOf[cell]!]! += weights[cell]!;
	yield* values(coarser, own, rest);
}

/** Weights of a call of the core, in numbers: 64 MiB. */
const mostWeights = 2 ** 23;
/** Additions of a call: about a second, and much more than handing over the samples. */
const mostAdditions = 2 ** 30;

/**
 * The cells' weights in each resample, counted by the core on all processors while the ones before are read here.
 *
 * @returns (draws x cells) from resample number `first` on.
 */
async function* resamples(
	patients: ArrayLike<bigint>,
	groups: readonly CellStatistics[],
	{ draws, seed }: BootstrapOptions,
): AsyncGenerator<{ readonly first: number; readonly counted: Float64Array }> {
	const samples = patients.length;
	if (samples === 0 || groups.length === 0 || draws === 0) return;
	const { offsets, order } = byPatient(patients);
	// Samples of a patient side by side: a resample then goes through memory once, from end to end.
	const cells = new Int32Array(groups.length * samples);
	let [place, cellCount] = [0, 0];
	for (const group of groups) {
		for (let i = 0; i < samples; i++) cells[place++] = cellCount + group.cellOf[order[i]!]!;
		cellCount += group.cells;
	}
	const most = Math.min(mostWeights / cellCount, mostAdditions / cells.length);
	const block = Math.max(1, Math.floor(most));
	const count = (firstDraw: number) =>
		nativeCall(() =>
			nativeAddon().resample({
				...{ offsets, cells, cellCount, seed, firstDraw },
				draws: Math.min(block, draws - firstDraw),
			}),
		);
	let next = count(0);
	for (let first = 0; first < draws; first += block) {
		const { weights } = await next;
		if (first + block < draws) {
			next = count(first + block);
			// Whoever stops early does not wait for it.
			next.catch(() => {});
		}
		yield { first, counted: weights };
	}
}

/** Samples in the order of their patients, who are numbered as they first come. */
function byPatient(patients: ArrayLike<bigint>): {
	/** (patients + 1,) where the samples of each start in `order`. */
	readonly offsets: Int32Array;
	/** (samples,) */
	readonly order: Int32Array;
} {
	const numbers = new Map<bigint, number>();
	const patientOf = new Int32Array(patients.length);
	let [last, number] = [undefined as bigint | undefined, -1];
	for (let sample = 0; sample < patients.length; sample++) {
		const patient = patients[sample]!;
		// Samples of a patient mostly follow one another.
		if (patient !== last) {
			number = numbers.get(patient) ?? numbers.size;
			if (number === numbers.size) numbers.set(patient, number);
			last = patient;
		}
		patientOf[sample] = number;
	}
	const offsets = new Int32Array(numbers.size + 1);
	for (const patient of patientOf) offsets[patient + 1]!++;
	for (let i = 0; i < numbers.size; i++) offsets[i + 1]! += offsets[i]!;
	const next = offsets.slice();
	const order = new Int32Array(patients.length);
	for (let sample = 0; sample < order.length; sample++) order[next[patientOf[sample]!]!++] = sample;
	return { offsets, order };
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
