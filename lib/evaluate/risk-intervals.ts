import { nativeAddon, nativeCall } from '../native.js';
import { RandomStream } from '../random.js';
import { sampleKey } from '../tasks/read.js';
import { type FeatureTable, selectRows } from './features.js';
import { grouped } from './grouped.js';
import { smallestDraws } from './intervals.js';
import { fitProbe, probabilitiesOf } from './probe.js';
import type { TaskSamples } from './samples.js';

/** Probes that are fitted again for an interval: the fewest that a 95 % interval needs. */
export const refits = smallestDraws;

export interface Risks {
	readonly probability: number[];
	readonly low?: number[];
	readonly high?: number[];
}

/**
 * The probe of the evaluation as a function of rows of the table, with percentile intervals over probes of the same strength
 * that are fitted on resampled training patients. They hold the luck of the probe's patients, not that of the encoder's.
 *
 * @returns Undefined when no probe can be fitted.
 * @throws {NativeError}
 */
export async function riskReader(
	{ table, rowOf }: { readonly table: FeatureTable; readonly rowOf: ReadonlyMap<string, number> },
	{ labels, tooFew }: TaskSamples,
	hasInterval: boolean,
	level: number,
	seed: number,
	signal?: AbortSignal,
): Promise<((rows: readonly number[]) => Risks) | undefined> {
	if (tooFew !== undefined) return undefined;
	const probe = await fitProbe(table, rowOf, labels);
	if ('undefinedReason' in probe) return undefined;
	const others: Float64Array[] = [];
	if (hasInterval) {
		const rows = labels.train.map((label) => rowOf.get(sampleKey(label))!);
		const samplesOf = grouped(rows.keys(), (row) => labels.train[row]!.subjectId);
		const patients = [...samplesOf.keys()].sort((a, b) => (a < b ? -1 : 1));
		const features = probe.standardiser.apply(selectRows(table, rows));
		const { columns } = table;
		for (let draw = 0; draw < refits; draw++) {
			signal?.throwIfAborted();
			const random = new RandomStream(seed, 'trajectories', 3, draw);
			const taken = patients.flatMap(() => samplesOf.get(patients[random.integer(patients.length)]!)!);
			const positives = taken.filter((row) => labels.train[row]!.value).length;
			// A resample of one outcome has no probe.
			if (positives === 0 || positives === taken.length) continue;
			const drawn = new Float32Array(taken.length * columns);
			for (const [i, row] of taken.entries())
				drawn.set(features.subarray(row * columns, (row + 1) * columns), i * columns);
			const { weights } = await nativeCall(() =>
				nativeAddon().fitLogistic({
					features: drawn,
					rows: taken.length,
					columns,
					labels: Uint8Array.from(taken, (row) => (labels.train[row]!.value ? 1 : 0)),
					l2: Float64Array.of(probe.l2),
				}),
			);
			others.push(weights);
		}
	}
	return (rows) => {
		const probability = [...probabilitiesOf(probe, table, rows)];
		if (others.length < refits / 2) return { probability };
		const each = others.map((weights) => probabilitiesOf({ weights, standardiser: probe.standardiser }, table, rows));
		const ends = probability.map((_, i) => {
			const sorted = Float64Array.from(each, (values) => values[i]!).sort();
			const at = (share: number) => sorted[Math.round(share * (sorted.length - 1))]!;
			return [at((1 - level) / 2), at((1 + level) / 2)] as const;
		});
		return { probability, low: ends.map(([low]) => low), high: ends.map(([, high]) => high) };
	};
}
