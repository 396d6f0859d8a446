import { parseConfig } from '../config.js';
import { CheckpointError, ConfigError, VocabularyError } from '../errors.js';
import { sha256OfFiles } from '../files/hash.js';
import type { ComputeDtype } from '../model/compute-dtype.js';
import type { Device } from '../model/device.js';
import { openPretrained, type PretrainedModel } from '../model/pretrained.js';
import { WorldModel } from '../model/world-model.js';
import { nativeAddon } from '../native.js';
import { packageVersion } from '../package-version.js';
import type { ProcessGroup } from '../ranks/process-group.js';
import type { TokenStore } from '../store/token-store.js';
import { type Checkpoint, checkpointFile } from './checkpoint.js';
import { predictorOptions } from './loss-options.js';
import type { RunConfig } from './run-config.js';
import { TrainConfig, type TrainConfigInput } from './train-config.js';
import { frozenWeights, loraOf } from './trainable.js';

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
			dataset: manifest.dataset.fingerprint,
			splits: manifest.splitting.fingerprint,
			vocabulary: vocabulary.fingerprint,
			vocabSize: vocabulary.size,
			maskTokenId: vocabulary.maskTokenId,
		},
	};
	requireMaskToken(vocabulary, parsed);
	if (parsed.initialWeights === null) {
		frozenWeights(parsed.trainable, parsed.model);
		return { ...plan, train: parsed, initialWeights: null };
	}
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
	frozenWeights(parsed.trainable, pretrained.config.shape);
	return {
		...plan,
		train: { ...parsed, model: pretrained.config.shape },
		initialWeights: await fingerprintOf(pretrained),
	};
}

/** Refuses a latent loss over masked tokens where no row of the embedding is left to stand for them. */
function requireMaskToken({ maskTokenId, size }: TokenStore['vocabulary'], { objective }: TrainConfig): void {
	const branch = objective.latent?.branch.kind;
	if (maskTokenId !== null || branch === undefined || branch === 'state') return;
	throw new VocabularyError(
		`[train config] objective.latent with "branch": {"kind": "${branch}"} needs a mask token but the embedding of ${size} rows has none to spare; train by next tokens alone (objective preset sft, --objective sft), or prepare the store with --vocab-size ${size + 1} for a model of that many rows`,
	);
}

/** How a run's model is opened. */
export interface RunModelOptions {
	/** dtype of the frozen base under LoRA; absent: the run's compute dtype. */
	readonly baseDtype?: ComputeDtype | undefined;
	/** Absent: `auto`. A run belongs to no device. */
	readonly device?: Device | undefined;
	/** Ranks that train it together, as the run says how. */
	readonly group?: ProcessGroup | undefined;
}

/**
 * The model that a run starts from: weights drawn from the seed, or read from its initial weights.
 *
 * @throws {CheckpointError} When the initial weights are no longer those the run began with.
 */
export async function initialModel(run: RunConfig, options: RunModelOptions = {}): Promise<WorldModel> {
	if (run.train.initialWeights === null) return await joined(emptyModel(run, 'random', options), run, options);
	const pretrained = await openPretrained(run.train.initialWeights);
	const found = await fingerprintOf(pretrained);
	if (found !== run.initialWeights) {
		throw new CheckpointError(
			`[run] ${run.train.initialWeights} must hold the weights the run began with (sha256 ${run.initialWeights?.slice(0, 12)}) but holds others (${found.slice(0, 12)}); put the first ones back`,
		);
	}
	const model = await joined(emptyModel(run, 'from-files', options), run, options);
	try {
		await model.loadTensors('encoder', pretrained.entries);
		return model;
	} catch (cause) {
		await model.close();
		throw cause;
	}
}

/**
 * The model of a checkpoint. Under LoRA a checkpoint holds no base: it is what the run started from.
 *
 * @throws {CheckpointError} When the base is no longer the one the run began with.
 */
export async function checkpointModel(
	run: RunConfig,
	checkpoint: Checkpoint,
	options: RunModelOptions & { readonly withOptimizer: boolean },
): Promise<WorldModel> {
	const lora = run.train.trainable.kind === 'lora';
	const model = lora
		? await initialModel(run, options)
		: await joined(emptyModel(run, 'from-files', options), run, options);
	try {
		for (const kind of checkpoint.kinds) {
			if (kind !== 'optimizer' || options.withOptimizer) await model.load(kind, checkpointFile(checkpoint, kind));
		}
		return model;
	} catch (cause) {
		await model.close();
		throw cause;
	}
}

/** The same model, of which this rank keeps its part. */
async function joined(model: WorldModel, { train }: RunConfig, { group }: RunModelOptions): Promise<WorldModel> {
	try {
		if (group !== undefined) await model.joinGroup(group, train.parallel.kind);
		return model;
	} catch (cause) {
		await model.close();
		throw cause;
	}
}

/** A model of a run's shape whose encoder is random, or waits for its weights. */
function emptyModel(
	run: RunConfig,
	weights: 'random' | 'from-files',
	{ baseDtype, device }: RunModelOptions,
): WorldModel {
	const { trainable, computeDtype, parameterDtype, activationCheckpointing, deterministic } = run.train;
	const lora = loraOf(trainable);
	return new WorldModel(
		{
			shape: run.train.model,
			vocabSize: run.data.vocabSize,
			maskTokenId: run.data.maskTokenId,
			predictor: predictorOptions(run.train),
			computeDtype,
			// The forward pass reads a frozen base in the compute dtype alone: a wider copy would only take memory.
			activationCheckpointing,
			deterministic,
			...(lora === null
				? { parameterDtype, stochasticRounding: parameterDtype === 'bfloat16' }
				: { lora, parameterDtype: baseDtype ?? computeDtype }),
			frozen: frozenWeights(trainable, run.train.model),
			seed: run.train.seed,
			threads: run.train.threads,
			...(device === undefined ? {} : { device }),
		},
		weights,
	);
}

async function fingerprintOf({ entries }: PretrainedModel): Promise<string> {
	return sha256OfFiles([...new Set(entries.map(({ path }) => path))].sort());
}
