import type { IndexDateRow } from '../tasks/read.js';
import { sampleKey } from '../tasks/read.js';
import type { RolloutResult, StateErrors } from './evaluation-file.js';
import type { FeatureTable } from './features.js';
import { type BootstrapOptions, bootstrap, difference } from './intervals.js';
import { fitLatentProbe, type LatentTargets } from './latent-state.js';
import { rSquared } from './metrics.js';
import { rowsByKey } from './probe.js';
import type { RecordedState, RolloutTable } from './rollout.js';

/**
 * How well a predicted state tells the true one of a simulated patient. A ridge probe is fitted once, on states now
 * against the true state now; applied to the predicted state it reads the future without having seen a label of it.
 *
 * @param targets - True states by horizon, 0 among them.
 */
export async function evaluateRollout(
	model: string,
	table: RolloutTable,
	indexDates: readonly IndexDateRow[],
	targets: readonly LatentTargets[],
	options: BootstrapOptions,
): Promise<RolloutResult[]> {
	const { columns, samples } = table;
	const now: FeatureTable = {
		values: concatenated(samples.map((one) => one.now)),
		rows: samples.length,
		columns,
		samples: samples.map(({ sample }) => sample),
	};
	const rowOf = rowsByKey(now);
	const splitOf = new Map(indexDates.map((date) => [sampleKey(date), date.split]));
	const present = targets.find(({ horizonDays }) => horizonDays === 0)!;
	const probe = await fitLatentProbe(now, rowOf, present);
	const results: RolloutResult[] = [];
	for (const target of targets) {
		const { horizonDays, axes } = target;
		if (horizonDays === 0) continue;
		const aheadOf = (row: number) => samples[row]!.ahead.find((one) => one.horizonDays === horizonDays)!;
		const records = (split: IndexDateRow['split']) =>
			samples.flatMap(({ sample, now }, row) => {
				const { record } = aheadOf(row);
				return record === null || splitOf.get(sampleKey(sample)) !== split ? [] : [{ now, record }];
			});
		const stateErrors = errorsOf(records('train'), records('held_out'), columns);
		const direct = await fitLatentProbe(now, rowOf, target);
		if ('undefinedReason' in probe || 'undefinedReason' in direct) {
			const { undefinedReason } = [probe, direct].find((one) => 'undefinedReason' in one) as {
				readonly undefinedReason: string;
			};
			const none = { value: null, low: null, high: null, undefinedReason };
			const r2 = { direct: none, rollout: none, copy: none };
			results.push({ model, horizonDays, r2, gain: none, nSamples: 0, nPatients: 0, stateErrors });
			continue;
		}
		const { truth, patients, rows } = direct;
		const held = target.samples.filter(({ sample }) => sample.split === 'held_out' && rowOf.has(sampleKey(sample)));
		const rowsHeld = held.map(({ sample }) => rowOf.get(sampleKey(sample))!);
		const rolled = probe.apply(concatenated(rowsHeld.map((row) => aheadOf(row).predicted)));
		const copied = probe.apply(concatenated(rowsHeld.map((row) => samples[row]!.now)));
		const { estimates, contrasts } = await bootstrap(
			patients,
			[direct.predicted, rolled, copied].map(
				(predicted) => (weights: ArrayLike<number>) => rSquared(predicted, truth, rows, axes.length, weights),
			),
			[difference(1, 2)],
			options,
		);
		results.push({
			model,
			horizonDays,
			r2: { direct: estimates[0]!, rollout: estimates[1]!, copy: estimates[2]! },
			gain: contrasts[0]!,
			nSamples: rows,
			nPatients: new Set(patients).size,
			stateErrors,
		});
	}
	return results;
}

interface Recorded {
	readonly now: Float32Array;
	readonly record: RecordedState;
}

/** Mean squared errors of predictions and of the two null models; the mean state is that of training patients. */
function errorsOf(train: readonly Recorded[], heldOut: readonly Recorded[], columns: number): StateErrors {
	if (train.length === 0 || heldOut.length === 0) return { predicted: null, copy: null, mean: null, nSamples: 0 };
	const mean = new Float32Array(columns);
	for (const { record } of train) for (let i = 0; i < columns; i++) mean[i]! += record.state[i]! / train.length;
	const error = (guess: (one: Recorded) => Float32Array) => {
		let sum = 0;
		for (const one of heldOut) {
			const values = guess(one);
			for (let i = 0; i < columns; i++) sum += (values[i]! - one.record.state[i]!) ** 2;
		}
		return sum / (heldOut.length * columns);
	};
	return {
		predicted: error(({ record }) => record.predicted),
		copy: error(({ now }) => now),
		mean: error(() => mean),
		nSamples: heldOut.length,
	};
}

function concatenated(rows: readonly Float32Array[]): Float32Array {
	const result = new Float32Array(rows.reduce((sum, row) => sum + row.length, 0));
	let offset = 0;
	for (const row of rows) {
		result.set(row, offset);
		offset += row.length;
	}
	return result;
}
