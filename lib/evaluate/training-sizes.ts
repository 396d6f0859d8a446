import { z } from 'zod';
import { positiveInteger } from '../config.js';
import { AbortedError } from '../errors.js';
import { RandomStream } from '../random.js';
import type { LabelRow } from '../tasks/read.js';
import type { Split } from '../types.js';
import type { EvaluatedModel, TrainingSizeResult } from './evaluation-file.js';
import type { BootstrapOptions } from './intervals.js';
import { RankedPredictions } from './metrics.js';
import type { Reader } from './reading.js';
import { replicateBootstrap } from './replicate-intervals.js';
import { countsOf } from './results.js';
import { outcomesOf, type TaskSamples } from './samples.js';

/** On how little each model is fitted, to see how much its features know before any label. */
export const TrainingSizes = z.strictObject({
	/** Samples of each class; EHRSHOT's. */
	shots: z.array(positiveInteger).default([1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 128]),
	/** Shares of the patients of train. */
	shares: z.array(z.number().gt(0).max(1)).default([0.01, 0.03, 0.1, 0.3, 1]),
	/** Draws of each size. */
	replicates: positiveInteger.default(5),
});
export type TrainingSizes = z.output<typeof TrainingSizes>;

/** One size: how it is drawn, and how often. */
interface Size {
	readonly kind: TrainingSizeResult['kind'];
	readonly size: number;
	readonly replicates: number;
	/** Why no sample of this size can be drawn. */
	readonly tooFew: string | undefined;
	readonly draw: (split: Split, replicate: number) => readonly LabelRow[];
}

/** Fits of a task: one for each model and draw. */
export function fitsOf({ shots, shares, replicates }: TrainingSizes): number {
	return shots.length * replicates + shares.reduce((sum, share) => sum + (share === 1 ? 1 : replicates), 0);
}

/**
 * Every model fitted on small training sets: k samples of each class, or a share of the patients. Tuning is drawn likewise, with
 * what there is where it has fewer; held-out stays whole. All models see the same draws, and within a replicate a smaller set
 * is a part of each larger one. A size that train does not hold is undefined.
 *
 * @param onFit - Called after each fit of a model.
 * @throws {AbortedError} {NativeError}
 */
export async function trainingSizeResults(
	samples: TaskSamples,
	models: readonly { readonly about: EvaluatedModel; readonly reader: Reader }[],
	sizes: TrainingSizes,
	options: BootstrapOptions,
	onFit: () => void = () => {},
): Promise<TrainingSizeResult[]> {
	const { task, labels, tooFew } = samples;
	const heldOut = outcomesOf(labels.held_out);
	const results: TrainingSizeResult[] = [];
	for (const size of sizesOf(labels, sizes, options.seed)) {
		const draws = Array.from({ length: size.replicates }, (_, replicate) => ({
			train: size.tooFew === undefined ? size.draw('train', replicate) : [],
			tuning: size.draw('tuning', replicate),
			held_out: labels.held_out,
		}));
		const of = {
			task: task.name,
			horizonDays: task.horizonDays,
			kind: size.kind,
			size: size.size,
			replicates: size.replicates,
			nTrainSamples: meanOf(draws.map(({ train }) => train.length)),
			nTrainPositives: meanOf(draws.map(({ train }) => train.filter(({ value }) => value).length)),
		};
		const undefinedAs = (undefinedReason: string) => {
			const none = { value: null, low: null, high: null, undefinedReason };
			return { auroc: none, averagePrecision: none, deviation: null };
		};
		const read: (readonly RankedPredictions[] | { readonly undefinedReason: string })[] = [];
		for (const { reader } of models) {
			const ranked: RankedPredictions[] = [];
			let undefinedReason = size.tooFew ?? tooFew;
			for (const drawn of draws) {
				if (options.signal?.aborted) throw new AbortedError('[evaluate] aborted', { cause: options.signal.reason });
				if (undefinedReason === undefined) {
					const reading = await reader.task({ task, labels: drawn, tooFew });
					if ('undefinedReason' in reading) undefinedReason = reading.undefinedReason;
					else ranked.push(new RankedPredictions(reading.probabilities, heldOut.truth));
				}
				onFit();
			}
			read.push(undefinedReason === undefined ? ranked : { undefinedReason });
		}
		const whole = read.flatMap((one) => ('undefinedReason' in one ? [] : [one]));
		const estimates = await replicateBootstrap(
			heldOut.patients,
			whole.flatMap((ranked) => [
				ranked.map((one) => (weights: Float64Array) => one.auroc(weights)),
				ranked.map((one) => (weights: Float64Array) => one.averagePrecision(weights)),
			]),
			options,
		);
		for (const [i, { about }] of models.entries()) {
			const one = read[i]!;
			const place = 'undefinedReason' in one ? -1 : 2 * whole.indexOf(one);
			results.push({
				model: about.name,
				...of,
				...countsOf(heldOut),
				...('undefinedReason' in one
					? undefinedAs(one.undefinedReason)
					: {
							auroc: estimates[place]!.estimate,
							averagePrecision: estimates[place + 1]!.estimate,
							deviation: estimates[place]!.deviation,
						}),
			});
		}
	}
	return results;
}

function sizesOf(labels: TaskSamples['labels'], { shots, shares, replicates }: TrainingSizes, seed: number): Size[] {
	const ofClass = (split: Split, value: boolean) => labels[split].filter((label) => label.value === value);
	const [positives, negatives] = [ofClass('train', true).length, ofClass('train', false).length];
	const stream = (split: Split, replicate: number) =>
		new RandomStream(seed, 'trainingSize', replicate, split === 'train' ? 0 : 1);
	return [
		...[...new Set(shots)]
			.sort((a, b) => a - b)
			.map((k): Size => {
				const fewest = Math.min(positives, negatives);
				return {
					kind: 'shots',
					size: k,
					replicates,
					tooFew:
						fewest >= k
							? undefined
							: `${fewest} ${positives < negatives ? 'positive' : 'negative'} samples in train, ${k} are needed`,
					draw: (split, replicate) => {
						const random = stream(split, replicate);
						return [true, false].flatMap((value) => random.shuffle(ofClass(split, value)).slice(0, k));
					},
				};
			}),
		...[...new Set(shares)]
			.sort((a, b) => a - b)
			.map(
				(share): Size => ({
					kind: 'share',
					size: share,
					// All of it can be drawn in one way.
					replicates: share === 1 ? 1 : replicates,
					tooFew: undefined,
					draw: (split, replicate) => {
						const patients = [...new Set(labels[split].map(({ subjectId }) => subjectId))];
						const drawn = stream(split, replicate).shuffle(patients);
						const kept = new Set(drawn.slice(0, Math.ceil(share * drawn.length)));
						return labels[split].filter(({ subjectId }) => kept.has(subjectId));
					},
				}),
			),
	];
}

function meanOf(values: readonly number[]): number {
	return values.reduce((sum, value) => sum + value, 0) / values.length;
}
