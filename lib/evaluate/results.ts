import type { Estimate, EvaluatedModel, LatentStateResult, PairedDifference, ProbeResult } from './evaluation-file.js';
import { type BootstrapOptions, bootstrap, difference, type Statistic } from './intervals.js';
import type { LatentTargets } from './latent-state.js';
import { RankedPredictions, rSquared } from './metrics.js';
import type { LatentReading, TaskReading } from './reading.js';
import { heldOutStates, outcomesOf, type TaskSamples } from './samples.js';

/** A model with what its probe says. */
interface Read<T> {
	readonly about: EvaluatedModel;
	readonly reading: T;
}

/** AUROC, average precision and Brier score of every model at one task and horizon, and differences in AUROC. */
export async function taskResults(
	{ task, labels }: TaskSamples,
	models: readonly Read<TaskReading>[],
	options: BootstrapOptions,
): Promise<{ readonly probes: ProbeResult[]; readonly differences: PairedDifference[] }> {
	const { truth, patients, nSamples, nPatients, nPositives } = outcomesOf(labels.held_out);
	const train = outcomesOf(labels.train);
	const baseOf = ({ name }: EvaluatedModel) => ({
		model: name,
		task: task.name,
		horizonDays: task.horizonDays,
		nSamples,
		nPatients,
		nPositives,
		nTrainSamples: train.nSamples,
		nTrainPositives: train.nPositives,
	});
	const probes: ProbeResult[] = [];
	const fitted: { about: EvaluatedModel; l2: number; ranked: RankedPredictions }[] = [];
	for (const { about, reading } of models) {
		if ('undefinedReason' in reading) {
			const undefinedEstimate = undefinedFor(reading.undefinedReason);
			probes.push({
				...baseOf(about),
				l2: null,
				auroc: undefinedEstimate,
				averagePrecision: undefinedEstimate,
				brier: undefinedEstimate,
			});
		} else {
			fitted.push({ about, l2: reading.l2, ranked: new RankedPredictions(reading.probabilities, truth) });
		}
	}
	const statistics: Statistic[] = fitted.flatMap(({ ranked }) => [
		(weights) => ranked.auroc(weights),
		(weights) => ranked.averagePrecision(weights),
		(weights) => ranked.brier(weights),
	]);
	const pairs = pairsOf(fitted.map(({ about }) => about));
	const { estimates, contrasts } = await bootstrap(
		patients,
		statistics,
		pairs.map(([a, b]) => difference(3 * a, 3 * b)),
		options,
	);
	for (const [i, { about, l2 }] of fitted.entries()) {
		probes.push({
			...baseOf(about),
			l2,
			auroc: estimates[3 * i]!,
			averagePrecision: estimates[3 * i + 1]!,
			brier: estimates[3 * i + 2]!,
		});
	}
	const differences = pairs.map(
		([a, b], i): PairedDifference => ({
			a: fitted[a]!.about.name,
			b: fitted[b]!.about.name,
			task: task.name,
			horizonDays: task.horizonDays,
			metric: 'auroc',
			difference: contrasts[i]!,
		}),
	);
	return { probes, differences };
}

/** R² of the true latent state at one horizon, of every model by axis and of all axes, and differences in the latter. */
export async function latentStateResults(
	targets: LatentTargets,
	models: readonly Read<LatentReading>[],
	options: BootstrapOptions,
): Promise<{ readonly latentState: LatentStateResult[]; readonly differences: PairedDifference[] }> {
	const { horizonDays } = targets;
	const { truth, patients, nSamples, nPatients } = heldOutStates(targets);
	const latentState: LatentStateResult[] = [];
	const fitted: { about: EvaluatedModel; l2: number | null; predicted: readonly number[] }[] = [];
	for (const { about, reading } of models) {
		if ('undefinedReason' in reading) {
			latentState.push({
				model: about.name,
				axis: 'all',
				horizonDays,
				r2: undefinedFor(reading.undefinedReason),
				nSamples: 0,
				nPatients: 0,
				l2: null,
			});
		} else fitted.push({ about, ...reading });
	}
	if (fitted.length === 0) return { latentState, differences: [] };
	const axes = ['all', ...targets.axes];
	const outputs = targets.axes.length;
	const statistics: Statistic[] = fitted.flatMap(({ predicted }) => [
		(weights) => rSquared(predicted, truth, nSamples, outputs, weights),
		...targets.axes.map((_, axis): Statistic => {
			const column = (values: ArrayLike<number>) =>
				Float64Array.from({ length: nSamples }, (__, row) => values[row * outputs + axis]!);
			const [one, other] = [column(predicted), column(truth)];
			return (weights) => rSquared(one, other, nSamples, 1, weights);
		}),
	]);
	const pairs = pairsOf(fitted.map(({ about }) => about));
	const { estimates, contrasts } = await bootstrap(
		patients,
		statistics,
		pairs.map(([a, b]) => difference(a * axes.length, b * axes.length)),
		options,
	);
	for (const [i, { about, l2 }] of fitted.entries()) {
		for (const [k, axis] of axes.entries()) {
			const r2 = estimates[i * axes.length + k]!;
			latentState.push({ model: about.name, axis, horizonDays, r2, nSamples, nPatients, l2 });
		}
	}
	const differences = pairs.map(
		([a, b], i): PairedDifference => ({
			a: fitted[a]!.about.name,
			b: fitted[b]!.about.name,
			task: 'latent-state',
			horizonDays,
			metric: 'r2',
			difference: contrasts[i]!,
		}),
	);
	return { latentState, differences };
}

function undefinedFor(undefinedReason: string): Estimate {
	return { value: null, low: null, high: null, undefinedReason };
}

/** Trained encoders against every baseline, and against the trained encoders listed before them. */
function pairsOf(models: readonly EvaluatedModel[]): [a: number, b: number][] {
	const pairs: [number, number][] = [];
	for (const [a, { kind }] of models.entries()) {
		if (kind !== 'encoder') continue;
		for (const [b, other] of models.entries()) {
			// What can be known is a place on the scale, not a rival.
			if (other.kind === 'ceiling') continue;
			if (other.kind !== 'encoder' || b < a) pairs.push([a, b]);
		}
	}
	return pairs;
}
