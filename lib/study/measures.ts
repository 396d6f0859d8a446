import type { HeldOutLosses } from '../evaluate/held-out-losses.js';
import type { Statistic } from '../evaluate/intervals.js';
import { type Metric, RankedPredictions, rSquared } from '../evaluate/metrics.js';
import type { Reading } from '../evaluate/reading.js';
import { type EvaluationSamples, heldOutStates, outcomesOf } from '../evaluate/samples.js';
import type { MeanOfMeasures, Measure } from './comparison.js';
import type { Quantity } from './study-file.js';

/** By model and seed; one entry for a model without seeds. */
export type BySeed<T> = ReadonlyMap<string, readonly T[]>;

/** Below this many batches their resamples hardly differ: a narrow interval would be an illusion. */
const minBatches = 5;

/** AUROC of every task and horizon. */
export function aurocMeasures(samples: EvaluationSamples, readings: BySeed<Reading>): Measure[] {
	return samples.tasks.map(({ task, labels, tooFew }, index): Measure => {
		const { truth, ...counts } = outcomesOf(labels.held_out);
		let undefinedReason = tooFew;
		const statistics = mapSeeds(readings, ({ tasks }): Statistic => {
			const read = tasks[index]!;
			if ('undefinedReason' in read) {
				undefinedReason ??= read.undefinedReason;
				return () => read;
			}
			const ranked = new RankedPredictions(read.probabilities, truth);
			return (weights) => ranked.auroc(weights);
		});
		return {
			quantity: 'auroc',
			task: task.name,
			horizonDays: task.horizonDays,
			...counts,
			undefinedReason,
			statistics,
		};
	});
}

/** The mean AUROC over the tasks of each horizon. */
export function meansByHorizon(measures: readonly Measure[]): MeanOfMeasures[] {
	return [...new Set(measures.map(({ horizonDays }) => horizonDays))].map((horizonDays) => ({
		task: 'mean of tasks',
		measures: measures.filter((measure) => measure.horizonDays === horizonDays),
	}));
}

/** R² of the true latent state, all axes together, now and ahead. */
export function latentStateMeasures(samples: EvaluationSamples, readings: BySeed<Reading>): Measure[] {
	return samples.latents.map((targets, index): Measure => {
		const { axes, horizonDays } = targets;
		const { truth, ...counts } = heldOutStates(targets);
		let undefinedReason: string | undefined;
		const statistics = mapSeeds(readings, ({ latents }): Statistic => {
			const read = latents[index]!;
			if ('undefinedReason' in read) {
				undefinedReason ??= read.undefinedReason;
				return () => read;
			}
			return (weights) => rSquared(read.predicted, truth, counts.nSamples, axes.length, weights);
		});
		return {
			quantity: 'r2',
			task: 'latent state',
			horizonDays,
			...counts,
			nPositives: null,
			undefinedReason,
			statistics,
		};
	});
}

type Batch = HeldOutLosses['batches'][number];

/**
 * Losses on held-out windows. A null model depends on its whole batch, so batches of patients are resampled: no patient is
 * in two of them, and which batch a patient is in is chance.
 */
export function lossMeasures(losses: BySeed<HeldOutLosses>): Measure[] {
	return [
		lossMeasure(losses, 'next-token-loss', ({ scoredTokens }) => scoredTokens, [
			({ nextTokenLoss }) => nextTokenLoss ?? 0,
			() => 1,
		]),
		lossMeasure(losses, 'latent-loss', ({ predictions }) => predictions, [
			({ latentLoss }) => latentLoss ?? 0,
			() => 1,
		]),
		lossMeasure(losses, 'latent-loss/batch-mean', ({ predictions }) => predictions, [
			({ latentLoss }) => latentLoss ?? 0,
			({ collapse }) => collapse?.batchMeanLoss ?? 0,
		]),
		lossMeasure(losses, 'latent-loss/copy-context', ({ predictions }) => predictions, [
			({ latentLoss }) => latentLoss ?? 0,
			({ collapse }) => collapse?.copyContextLoss ?? 0,
		]),
	].flatMap((measure) => (measure === undefined ? [] : [measure]));
}

/** Ratio of two means over samples; models without such samples are left out. */
function lossMeasure(
	losses: BySeed<HeldOutLosses>,
	quantity: Quantity,
	count: (batch: Batch) => number,
	[above, below]: readonly [(batch: Batch) => number, (batch: Batch) => number],
): Measure | undefined {
	const used = new Map([...losses].filter(([, [first]]) => first?.batches.some((batch) => count(batch) > 0)));
	const [first] = used.values();
	if (first === undefined) return undefined;
	const { batches } = first[0]!;
	return {
		quantity,
		task: 'held-out windows',
		horizonDays: null,
		patients: batches.map((_, i) => BigInt(i)),
		nSamples: batches.reduce((sum, batch) => sum + count(batch), 0),
		nPatients: batches.reduce((sum, { patients }) => sum + patients, 0),
		nPositives: null,
		undefinedReason:
			batches.length < minBatches
				? `${batches.length} batch${batches.length === 1 ? '' : 'es'} of held-out patients, at least ${minBatches} are needed`
				: undefined,
		statistics: mapSeeds(used, ({ batches }): Statistic => {
			const counts = batches.map(count);
			const numerators = batches.map((batch, i) => counts[i]! * above(batch));
			const denominators = batches.map((batch, i) => counts[i]! * below(batch));
			return (weights): Metric => {
				const total = dot(weights, denominators);
				return total > 0 ? { value: dot(weights, numerators) / total } : { undefinedReason: 'no predictions' };
			};
		}),
	};
}

function dot(weights: ArrayLike<number>, values: readonly number[]): number {
	return values.reduce((sum, value, i) => sum + weights[i]! * value, 0);
}

function mapSeeds<A, B>(values: BySeed<A>, map: (value: A) => B): Map<string, B[]> {
	return new Map([...values].map(([model, seeds]) => [model, seeds.map(map)]));
}
