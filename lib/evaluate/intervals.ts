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
	const numbers = new Map<bigint, number>();
	for (const patient of patients) if (!numbers.has(patient)) numbers.set(patient, numbers.size);
	const patientOf = Int32Array.from(patients, (patient) => numbers.get(patient)!);
	const ones = new Float64Array(patients.length).fill(1);
	const found = statistics.map((statistic) => statistic(ones));
	const resampled = statistics.map(() => new Float64Array(options.draws).fill(Number.NaN));
	const weights = new Float64Array(patients.length);
	const counts = new Int32Array(numbers.size);
	let yieldedAt = performance.now();
	for (let draw = 0; draw < options.draws && numbers.size > 0; draw++) {
		const random = new RandomStream(options.seed, 'bootstrap', draw);
		counts.fill(0);
		for (let i = 0; i < numbers.size; i++) counts[random.integer(numbers.size)]!++;
		for (let sample = 0; sample < weights.length; sample++) weights[sample] = counts[patientOf[sample]!]!;
		for (const [i, statistic] of statistics.entries()) {
			const metric = statistic(weights);
			if (isDefined(metric)) resampled[i]![draw] = metric.value;
		}
		if (performance.now() - yieldedAt > yieldAfterMs) {
			await setImmediate();
			if (options.signal?.aborted) throw new AbortedError('[evaluate] aborted', { cause: options.signal.reason });
			options.onDraws?.(draw + 1);
			yieldedAt = performance.now();
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

function estimate(metric: Metric, resamples: Float64Array, level: number): Estimate {
	if (!isDefined(metric)) return { value: null, low: null, high: null, undefinedReason: metric.undefinedReason };
	const defined = resamples.filter((value) => !Number.isNaN(value)).sort();
	if (defined.length * 2 <= resamples.length) return { value: metric.value, low: null, high: null };
	return { value: metric.value, low: percentile(defined, (1 - level) / 2), high: percentile(defined, (1 + level) / 2) };
}

/** Linear interpolation between order statistics (NumPy's default). @param sorted - Ascending, not empty. @internal */
export function percentile(sorted: Float64Array, share: number): number {
	const position = share * (sorted.length - 1);
	const below = Math.floor(position);
	const above = Math.min(sorted.length - 1, below + 1);
	return sorted[below]! + (position - below) * (sorted[above]! - sorted[below]!);
}
