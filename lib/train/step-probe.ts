import { weightShapes } from '../model/weight-shapes.js';
import { WorldModel } from '../model/world-model.js';
import type { NativeTrainingBatch } from '../native.js';
import { latentBranches, noBranches } from '../sample/branches.js';
import { pack } from '../sample/packing.js';
import type { TrainingWindow } from '../sample/window.js';
import { tokensPerDay } from './batch-rows.js';
import { lossOptionsAt, predictorOptions, updateOptions } from './loss-options.js';
import { flopsPerStep } from './time-plan.js';
import type { TrainConfig } from './train-config.js';
import { frozenWeights, loraOf } from './trainable.js';

/** Largest step that is made to measure with: about three seconds of two cores. */
const largestFlops = 300e9;
const largestVocabulary = 8192;
const maskTokenId = 1;

/**
 * Seconds of an update of a run on this machine now: of the run's own step where it is small, and otherwise of a step with
 * fewer layers, rows of the embedding or tokens, times what the operations of both are to each other. Takes two seconds for a
 * small model and about fifteen for a large one, and the memory of one layer.
 */
export async function measureSecondsPerStep(config: TrainConfig, vocabSize: number): Promise<number> {
	const probe = probeOf(config, vocabSize);
	const batch = fullBatch(probe.config, probe.vocabSize);
	await using model = modelOf(config, probe);
	// A curriculum is measured in its last stage, which takes longest.
	const options = {
		...lossOptionsAt(probe.config, probe.config.steps, { collapse: false }),
		...updateOptions(probe.config.optimizer),
		learningRate: 1e-6,
	};
	await model.step(batch, options);
	const rounds: number[] = [];
	const started = performance.now();
	while (rounds.length === 0 || (rounds.length < 50 && performance.now() - started < 2000)) {
		const before = performance.now();
		await model.step(batch, options);
		rounds.push(performance.now() - before);
	}
	// As long as steps take, and not as the quickest does: on a shared machine they differ by a third.
	const median = rounds.sort((a, b) => a - b)[Math.floor(rounds.length / 2)]!;
	const scale = flopsPerStep(config, vocabSize) / flopsPerStep(probe.config, probe.vocabSize);
	return (median / 1000) * scale;
}

interface Probe {
	readonly config: TrainConfig;
	readonly vocabSize: number;
}

/** The run itself, or the largest part of it that is quickly computed: first fewer layers and rows, then fewer tokens. */
function probeOf(config: TrainConfig, vocabSize: number): Probe {
	const one: Probe = { config: { ...config, microBatches: 1 }, vocabSize };
	const flops = ({ config, vocabSize }: Probe) => flopsPerStep(config, vocabSize);
	if (flops(one) <= largestFlops && vocabSize <= largestVocabulary) return one;
	const withLayers = (numHiddenLayers: number): Probe => ({
		config: { ...one.config, model: { ...config.model, numHiddenLayers } },
		vocabSize: Math.min(vocabSize, largestVocabulary),
	});
	const layers = Array.from({ length: config.model.numHiddenLayers }, (_, i) => config.model.numHiddenLayers - i);
	const fits = layers.map(withLayers).find((probe) => flops(probe) <= largestFlops);
	if (fits !== undefined) return fits;
	const least = withLayers(1);
	const share = largestFlops / flops(least);
	const tokensPerStep = Math.max(64, Math.floor(config.tokensPerStep * share));
	return { ...least, config: { ...least.config, tokensPerStep } };
}

function modelOf({ trainable, model: whole }: TrainConfig, { config, vocabSize }: Probe): WorldModel {
	const { model: shape, computeDtype, parameterDtype, activationCheckpointing, threads, seed } = config;
	const lora = loraOf(trainable);
	const names = [...weightShapes(shape, vocabSize).keys()];
	const frozen = new Set(frozenWeights(trainable, whole));
	// A part of which nothing would be trained is trained whole.
	const kept = names.filter((name) => frozen.has(name));
	return new WorldModel({
		shape,
		vocabSize,
		maskTokenId,
		predictor: predictorOptions(config),
		computeDtype,
		activationCheckpointing,
		...(lora === null
			? { parameterDtype, stochasticRounding: parameterDtype === 'bfloat16' }
			: { lora, parameterDtype: computeDtype }),
		frozen: kept.length < names.length ? kept : [],
		seed,
		threads,
		device: 'cpu',
	});
}

/** A batch as large as real ones can be, in days of equal length. */
function fullBatch(
	{ tokensPerStep, contextTokens, futureTokens, objective }: TrainConfig,
	vocabSize: number,
): NativeTrainingBatch {
	const longest = Math.min(contextTokens + futureTokens, tokensPerStep);
	const windows: TrainingWindow[] = [];
	for (let left = tokensPerStep; left > 1; left -= longest) {
		const length = Math.min(longest, left);
		const contextLength = Math.min(length - 1, Math.ceil((length * contextTokens) / (contextTokens + futureTokens)));
		const days = Math.ceil((length - contextLength) / tokensPerDay);
		windows.push({
			tokens: Int32Array.from({ length }, (_, i) => (i * 7 + i * i) % vocabSize),
			contextLength,
			futureDays: Int32Array.from({ length: days + 1 }, (_, day) =>
				Math.min(length, contextLength + day * tokensPerDay),
			),
			futureDates: Int32Array.from({ length: days }, (_, day) => day + 1),
			contextDate: 0,
		});
	}
	const packed = pack(windows.map(({ tokens }) => tokens));
	const { latent } = objective;
	return {
		...packed,
		contextLengths: Int32Array.from(windows, ({ contextLength }) => contextLength),
		branches:
			latent === null
				? noBranches
				: latentBranches(windows, packed, 1, { branch: latent.branch, cuts: latent.cuts, maskTokenId, seed: 1 }),
	};
}
