import type { Estimate } from '../estimate.js';
import { type BootstrapOptions, bootstrap, type Statistic } from '../intervals.js';
import { isDefined, type Metric, RankedPredictions } from '../metrics.js';

/** Below this many patients of a class, resamples hardly differ. */
const minPatientsPerClass = 5;

/** Every number of predictions of classes. */
export interface ClassEstimates {
	/** Share of samples whose likeliest class is theirs. */
	readonly accuracy: Estimate;
	/** Mean of -log of the probability of the true class. */
	readonly logLoss: Estimate;
	/** Mean over classes of the AUROC of one against all others. */
	readonly macroAuroc: Estimate;
	/** Of each class, against all others. */
	readonly classes: readonly { readonly auroc: Estimate; readonly averagePrecision: Estimate }[];
}

/**
 * Metrics of predicted classes with patient-level intervals.
 *
 * @param patients - (samples,)
 * @param truth - (samples,) place of the class of each.
 * @param logs - (samples x classes) logarithms of probabilities.
 * @throws {AbortedError}
 */
export async function classEstimates(
	patients: readonly bigint[],
	truth: readonly number[],
	logs: Float64Array,
	classes: readonly string[],
	options: BootstrapOptions,
): Promise<ClassEstimates> {
	const count = classes.length;
	const probabilities = logs.map(Math.exp);
	const right = truth.map((one, row) => {
		const own = probabilities.subarray(row * count, (row + 1) * count);
		return own.indexOf(Math.max(...own)) === one ? 1 : 0;
	});
	const losses = truth.map((one, row) => -logs[row * count + one]!);
	const ranked = classes.map(
		(_, k) =>
			new RankedPredictions(
				truth.map((__, row) => probabilities[row * count + k]!),
				truth.map((one) => (one === k ? 1 : 0)),
			),
	);
	const tooFew = classes.map((name, k) => {
		const found = new Set(patients.filter((_, row) => truth[row] === k)).size;
		if (found >= minPatientsPerClass) return undefined;
		return found === 0
			? `no samples of class ${name} in held-out`
			: `${found} held-out patient${found === 1 ? '' : 's'} of class ${name}, at least ${minPatientsPerClass} are needed`;
	});
	const auroc = (k: number, weights: Float64Array): Metric => {
		const reason = tooFew[k];
		return reason === undefined ? ranked[k]!.auroc(weights) : { undefinedReason: reason };
	};
	const macro: Statistic = (weights) => {
		let sum = 0;
		for (let k = 0; k < count; k++) {
			const one = auroc(k, weights);
			if (!isDefined(one)) return one;
			sum += one.value;
		}
		return { value: sum / count };
	};
	const { estimates } = await bootstrap(
		patients,
		[
			(weights) => weightedMean(right, weights),
			(weights) => weightedMean(losses, weights),
			macro,
			...classes.map(
				(_, k): Statistic =>
					(weights) =>
						auroc(k, weights),
			),
			...classes.map((_, k): Statistic => {
				const reason = tooFew[k];
				return (weights) => (reason === undefined ? ranked[k]!.averagePrecision(weights) : { undefinedReason: reason });
			}),
		],
		[],
		options,
	);
	const [accuracy, logLoss, macroAuroc, ...rest] = estimates as [Estimate, Estimate, Estimate, ...Estimate[]];
	return {
		accuracy,
		logLoss,
		macroAuroc,
		classes: classes.map((_, k) => ({ auroc: rest[k]!, averagePrecision: rest[count + k]! })),
	};
}

function weightedMean(values: readonly number[], weights: Float64Array): Metric {
	let [sum, total] = [0, 0];
	for (const [i, value] of values.entries()) {
		sum += weights[i]! * value;
		total += weights[i]!;
	}
	return total > 0 ? { value: sum / total } : { undefinedReason: 'no samples in held-out' };
}
