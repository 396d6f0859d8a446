import type { Statistic } from '../../evaluate/intervals.js';
import { isDefined, RankedPredictions } from '../../evaluate/metrics.js';

/** What one model says of the held-out samples of one fold. */
export interface FoldPredictions {
	/** (samples of the fold,) places among the samples of all folds. */
	readonly places: readonly number[];
	/** (samples of the fold,) */
	readonly probabilities: readonly number[];
	readonly truth: Uint8Array;
}

/**
 * AUROC over pairs of samples of one fold: the share of pairs of a positive and a negative that the model of their fold orders rightly.
 * Scores of two folds come from two models and are never compared.
 */
export function aurocWithinFolds(folds: readonly FoldPredictions[]): Statistic {
	const ranked = folds.map(({ places, probabilities, truth }) => ({
		places,
		truth,
		predictions: new RankedPredictions(probabilities, truth),
		weights: new Float64Array(places.length),
	}));
	return (drawn) => {
		let [pairs, right] = [0, 0];
		for (const { places, truth, predictions, weights } of ranked) {
			let [positives, negatives] = [0, 0];
			for (const [i, place] of places.entries()) {
				weights[i] = drawn[place]!;
				if (truth[i] === 1) positives += weights[i]!;
				else negatives += weights[i]!;
			}
			const auroc = predictions.auroc(weights);
			if (!isDefined(auroc)) continue;
			pairs += positives * negatives;
			right += positives * negatives * auroc.value;
		}
		return pairs > 0 ? { value: right / pairs } : { undefinedReason: 'no fold holds both classes' };
	};
}
