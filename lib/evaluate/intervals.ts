import { setImmediate } from 'node:timers/promises';
import { AbortedError } from '../errors.js';
import { RandomStream } from '../random.js';
import type { Estimate } from './evaluation-file.js';
import { isDefined, type Metric } from './metrics.js';

export interface BootstrapOptions {
	readonly draws: number;
	/** Coverage of the percentile interval, such as 0.95. */
	readonly level: number;
	readonly seed: number;
	readonly signal?: AbortSignal | undefined;
}

/** One statistic of a resample; several together are compared on the same resamples. */
export type Statistic = (weights: ArrayLike<number>) => Metric;

/**
 * Patient-level bootstrap: patients are drawn with replacement and all samples of a patient go with it, because samples
 * of one patient are not independent. Percentile intervals. The resamples depend on (seed, number of patients) alone, so
 * that statistics of several models are paired.
 *
 * Resamples in which a statistic is undefined are left out; when they are half of all, the interval is null.
 *
 * @param patients - (samples,) patient of each sample.
 * @param statistics - Each is evaluated on the sample and on every resample.
 * @param pairs - Differences a - b of two statistics, by index, on the same resamples.
 */
export async function bootstrap(
	patients: readonly bigint[],
	statistics: readonly Statistic[],
	pairs: readonly (readonly [a: number, b: number])[],
	options: BootstrapOptions,
): Promise<{ readonly estimates: Estimate[]; readonly differences: Estimate[] }> {
	const numbers = new Map<bigint, number>();
	for (const patient of patients) if (!numbers.has(patient)) numbers.set(patient, numbers.size);
	const patientOf = Int32Array.from(patients, (patient) => numbers.get(patient)!);
	const ones = new Float64Array(patients.length).fill(1);
	const found = statistics.map((statistic) => statistic(ones));
	const resampled = statistics.map(() => new Float64Array(options.draws).fill(Number.NaN));
	const weights = new Float64Array(patients.length);
	const counts = new Int32Array(numbers.size);
	for (let draw = 0; draw < options.draws && numbers.size > 0; draw++) {
		const random = new RandomStream(options.seed, 'bootstrap', draw);
		counts.fill(0);
		for (let i = 0; i < numbers.size; i++) counts[random.integer(numbers.size)]!++;
		for (let sample = 0; sample < weights.length; sample++) weights[sample] = counts[patientOf[sample]!]!;
		for (const [i, statistic] of statistics.entries()) {
			const metric = statistic(weights);
			if (isDefined(metric)) resampled[i]![draw] = metric.value;
		}
		if (draw % 32 === 31) {
			await setImmediate();
			if (options.signal?.aborted) throw new AbortedError('[evaluate] aborted', { cause: options.signal.reason });
		}
	}
	const estimates = found.map((metric, i) => estimate(metric, resampled[i]!, options.level));
	const differences = pairs.map(([a, b]) => {
		const [first, second] = [found[a]!, found[b]!];
		const metric: Metric = !isDefined(first)
			? first
			: !isDefined(second)
				? second
				: { value: first.value - second.value };
		return estimate(
			metric,
			resampled[a]!.map((value, draw) => value - resampled[b]![draw]!),
			options.level,
		);
	});
	return { estimates, differences };
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
