import { setImmediate } from 'node:timers/promises';
import { AbortedError } from '../errors.js';
import { RandomStream } from '../random.js';
import type { Estimate } from './evaluation-file.js';
import { type BootstrapOptions, percentile, type Statistic } from './intervals.js';
import { isDefined } from './metrics.js';

/** The mean of a statistic over replicates of a fit. */
export interface ReplicatedEstimate {
	/** Its interval holds the luck of patients and of replicates. */
	readonly estimate: Estimate;
	/** Standard deviation over the replicates; null for one, or where the mean is undefined. */
	readonly deviation: number | null;
}

// The event loop waits no longer than this.
const yieldAfterMs = 20;

/**
 * Percentile intervals of means over replicates: each resample draws patients and replicates with replacement, the patients
 * as `bootstrap` does. What is compared must have as many replicates, and is then resampled alike.
 *
 * @param patients - (samples,) patient of each sample.
 * @param items - Statistics of each item's replicates.
 */
export async function replicateBootstrap(
	patients: readonly bigint[],
	items: readonly (readonly Statistic[])[],
	options: BootstrapOptions,
): Promise<ReplicatedEstimate[]> {
	const numbers = new Map([...new Set(patients)].map((patient, i) => [patient, i]));
	const patientOf = Int32Array.from(patients, (patient) => numbers.get(patient)!);
	const weights = new Float64Array(patients.length).fill(1);
	const found = items.map((statistics) => statistics.map((statistic) => statistic(weights)));
	const resampled = items.map(() => new Float64Array(options.draws).fill(Number.NaN));
	const counts = new Int32Array(numbers.size);
	const replicates = Math.max(0, ...items.map(({ length }) => length));
	let yieldedAt = performance.now();
	for (let draw = 0; draw < options.draws && items.length > 0 && numbers.size > 0; draw++) {
		const random = new RandomStream(options.seed, 'bootstrap', draw);
		counts.fill(0);
		for (let i = 0; i < counts.length; i++) counts[random.integer(counts.length)]!++;
		for (const [sample, patient] of patientOf.entries()) weights[sample] = counts[patient]!;
		const chosen = new Map<number, number>();
		for (let i = 0; i < replicates; i++) {
			const replicate = random.integer(replicates);
			chosen.set(replicate, (chosen.get(replicate) ?? 0) + 1);
		}
		for (const [i, statistics] of items.entries()) {
			let [sum, times] = [0, 0];
			for (const [replicate, count] of chosen) {
				const metric = statistics[replicate]?.(weights);
				if (metric === undefined || !isDefined(metric)) continue;
				sum += count * metric.value;
				times += count;
			}
			if (times > 0) resampled[i]![draw] = sum / times;
			if (performance.now() - yieldedAt > yieldAfterMs) {
				await setImmediate();
				if (options.signal?.aborted) throw new AbortedError('[evaluate] aborted', { cause: options.signal.reason });
				yieldedAt = performance.now();
			}
		}
	}
	return found.map((metrics, i): ReplicatedEstimate => {
		const missing = metrics.find((metric) => !isDefined(metric));
		if (missing !== undefined && !isDefined(missing)) {
			const { undefinedReason } = missing;
			return { estimate: { value: null, low: null, high: null, undefinedReason }, deviation: null };
		}
		const values = metrics.map((metric) => (metric as { readonly value: number }).value);
		const value = values.reduce((sum, one) => sum + one, 0) / values.length;
		const squares = values.reduce((sum, one) => sum + (one - value) ** 2, 0);
		const deviation = values.length < 2 ? null : Math.sqrt(squares / (values.length - 1));
		const defined = resampled[i]!.filter((one) => !Number.isNaN(one)).sort();
		if (defined.length * 2 <= options.draws) return { estimate: { value, low: null, high: null }, deviation };
		const [low, high] = [(1 - options.level) / 2, (1 + options.level) / 2].map((share) => percentile(defined, share));
		return { estimate: { value, low: low!, high: high! }, deviation };
	});
}
