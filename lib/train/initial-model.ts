import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { parseConfig } from '../config.js';
import { CheckpointError, ConfigError, VocabularyError } from '../errors.js';
import { openPretrained, type PretrainedModel } from '../model/pretrained.js';
import { WorldModel } from '../model/world-model.js';
import { nativeAddon } from '../native.js';
import { packageVersion } from '../package-version.js';
import type { TokenStore } from '../store/token-store.js';
import { predictorOptions } from './loss-options.js';
import type { RunConfig } from './run-folder.js';
import { TrainConfig, type TrainConfigInput } from './train-config.js';

/**
 * The whole configuration of a new run: defaults filled in, the data and the initial weights it depends on by fingerprint.
 *
 * @throws {ConfigError} {CheckpointError} {VocabularyError} When the initial weights have another vocabulary size.
 */
export async function planRun(store: TokenStore, input: TrainConfigInput): Promise<RunConfig> {
	const parsed = parseConfig('train config', TrainConfig, input);
	const { vocabulary, manifest } = store;
	const plan = {
		format: 'ehr-jepa/run' as const,
		version: 1 as const,
		package: packageVersion,
		torch: nativeAddon().buildInfo().torch,
		data: {
			store: manifest.fingerprint,
			vocabulary: vocabulary.fingerprint,
			vocabSize: vocabulary.size,
			maskTokenId: vocabulary.maskTokenId,
		},
	};
	if (parsed.initialWeights === null) return { ...plan, train: parsed, initialWeights: null };
	if (input.model !== undefined) {
		throw new ConfigError(
			'[train config] model must be left out with initialWeights, whose shape it takes, but both are given',
		);
	}
	const pretrained = await openPretrained(parsed.initialWeights);
	if (pretrained.vocabSize !== vocabulary.size) {
		throw new VocabularyError(
			`[train config] initialWeights must have an embedding of ${vocabulary.size} rows, as the token store's vocabulary, but ${parsed.initialWeights} has ${pretrained.vocabSize}`,
		);
	}
	return {
		...plan,
		train: { ...parsed, model: pretrained.config.shape },
		initialWeights: await fingerprintOf(pretrained),
	};
}

/**
 * The model that a run starts from: weights drawn from the seed, or read from its initial weights.
 *
 * @throws {CheckpointError} When the initial weights are no longer those the run began with.
 */
export async function initialModel(run: RunConfig): Promise<WorldModel> {
	if (run.train.initialWeights === null) return emptyModel(run, 'random');
	const pretrained = await openPretrained(run.train.initialWeights);
	const found = await fingerprintOf(pretrained);
	if (found !== run.initialWeights) {
		throw new CheckpointError(
			`[run] ${run.train.initialWeights} must hold the weights the run began with (sha256 ${run.initialWeights?.slice(0, 12)}) but holds others (${found.slice(0, 12)})`,
		);
	}
	const model = emptyModel(run, 'from-files');
	try {
		await model.loadTensors('encoder', pretrained.entries);
		return model;
	} catch (cause) {
		await model.close();
		throw cause;
	}
}

/** A model of a run's shape whose encoder is random, or waits for its weights. */
export function emptyModel(run: RunConfig, weights: 'random' | 'from-files'): WorldModel {
	return new WorldModel(
		{
			shape: run.train.model,
			vocabSize: run.data.vocabSize,
			maskTokenId: run.data.maskTokenId,
			predictor: predictorOptions(run.train),
			computeDtype: run.train.computeDtype,
			seed: run.train.seed,
			threads: run.train.threads,
		},
		weights,
	);
}

async function fingerprintOf({ entries }: PretrainedModel): Promise<string> {
	const hash = createHash('sha256');
	for (const path of [...new Set(entries.map(({ path }) => path))].sort()) {
		await pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), async (chunks) => {
			for await (const chunk of chunks) hash.update(chunk as Buffer);
		});
	}
	return hash.digest('hex');
}
