import {
	comparedInStrata,
	type Estimate,
	type EvaluatedModel,
	type LatentStateResult,
	type PairedDifference,
	type ProbeResult,
	type StratumDifference,
	type StratumResult,
} from './evaluation-file.js';
import { type BootstrapOptions, bootstrap, difference, type Statistic } from './intervals.js';
import type { LatentTargets } from './latent-state.js';
import { rSquared } from './metrics.js';
import { type PredictionEstimates, predictionEstimates } from './prediction-intervals.js';
import { tooFewPatients } from './probe.js';
import type { LatentReading, TaskReading } from './reading.js';
import { heldOutStates, type Outcomes, outcomesOf, type TaskSamples } from './samples.js';
import { type Division, partsOf } from './subgroups.js';

/** A model with what its probe says. */
export interface Read<T> {
	readonly about: EvaluatedModel;
	readonly reading: T;
}

/** Every metric of every model at one task and horizon, whole and by part, and differences of models. */
export async function taskResults(
	{ task, labels, tooFew }: TaskSamples,
	models: readonly Read<TaskReading>[],
	divisions: readonly Division[],
	options: BootstrapOptions,
): Promise<{
	readonly probes: ProbeResult[];
	readonly strata: StratumResult[];
	readonly strataDifferences: StratumDifference[];
	readonly differences: PairedDifference[];
}> {
	const heldOut = outcomesOf(labels.held_out);
	const train = outcomesOf(labels.train);
	const of = { task: task.name, horizonDays: task.horizonDays };
	const fitted = models.flatMap(({ about, reading }) => ('undefinedReason' in reading ? [] : [{ about, reading }]));
	const pairs = pairsOf(fitted.map(({ about }) => about));
	const read = await predictionEstimates(
		heldOut.patients,
		heldOut.truth,
		fitted.map(({ reading }) => reading.probabilities),
		pairs,
		options,
		tooFew,
	);
	const probes = models.map(({ about, reading }): ProbeResult => {
		const place = fitted.findIndex((one) => one.about === about);
		const reason = 'undefinedReason' in reading ? reading.undefinedReason : '';
		return {
			model: about.name,
			...of,
			...(place < 0 ? undefinedNumbers(reason) : numbersOf(read.models[place]!)),
			...countsOf(heldOut),
			nTrainSamples: train.nSamples,
			nTrainPositives: train.nPositives,
			l2: 'undefinedReason' in reading ? null : reading.l2,
		};
	});
	const differences = read.differences.map(
		({ a, b, metric, difference }): PairedDifference => ({
			a: fitted[a]!.about.name,
			b: fitted[b]!.about.name,
			...of,
			metric,
			difference,
		}),
	);
	const parts = await strataResults(of, labels.held_out, fitted, divisions, options);
	return { probes, differences, ...parts };
}

/** Every metric of the models on each part of the held-out samples that has any, read with the probes of the whole. */
async function strataResults(
	of: Pick<StratumResult, 'task' | 'horizonDays'>,
	heldOut: TaskSamples['labels']['held_out'],
	fitted: readonly Read<Extract<TaskReading, { probabilities: unknown }>>[],
	divisions: readonly Division[],
	options: BootstrapOptions,
): Promise<{ readonly strata: StratumResult[]; readonly strataDifferences: StratumDifference[] }> {
	const strata: StratumResult[] = [];
	const strataDifferences: StratumDifference[] = [];
	const pairs = pairsOf(fitted.map(({ about }) => about));
	for (const { by, group, rows } of partsOf(divisions, heldOut)) {
		const part = rows.map((row) => heldOut[row]!);
		const outcomes = outcomesOf(part);
		const { models, differences } = await predictionEstimates(
			outcomes.patients,
			outcomes.truth,
			fitted.map(({ reading }) => rows.map((row) => reading.probabilities[row]!)),
			pairs,
			options,
			tooFewPatients(part),
		);
		for (const [i, { about }] of fitted.entries()) {
			const { calibration, ...numbers } = numbersOf(models[i]!);
			const { curve: _, ...calibrated } = calibration;
			strata.push({ model: about.name, ...of, by, group, ...numbers, calibration: calibrated, ...countsOf(outcomes) });
		}
		for (const { a, b, metric, difference } of differences) {
			const compared = comparedInStrata.find((name) => name === metric);
			if (compared === undefined) continue;
			const names = { a: fitted[a]!.about.name, b: fitted[b]!.about.name };
			strataDifferences.push({ ...names, ...of, by, group, metric: compared, difference });
		}
	}
	return { strata, strataDifferences };
}

/** What stands beside every number. */
export function countsOf({ nSamples, nPatients, nPositives }: Outcomes) {
	return { nSamples, nPatients, nPositives, prevalence: nSamples === 0 ? null : nPositives / nSamples };
}

function numbersOf({ metrics, curve }: PredictionEstimates) {
	return {
		auroc: metrics.auroc,
		averagePrecision: metrics.averagePrecision,
		brier: metrics.brier,
		calibration: {
			expectedError: metrics.expectedCalibrationError,
			slope: metrics.calibrationSlope,
			intercept: metrics.calibrationIntercept,
			curve: [...curve],
		},
	};
}

function undefinedNumbers(reason: string) {
	const none = undefinedFor(reason);
	return {
		auroc: none,
		averagePrecision: none,
		brier: none,
		calibration: { expectedError: none, slope: none, intercept: none, curve: [] },
	};
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
export function pairsOf(models: readonly EvaluatedModel[]): [a: number, b: number][] {
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
