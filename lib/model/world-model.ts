import { join } from 'node:path';
import { AbortedError, ConfigError, NativeError } from '../errors.js';
import type {
	ComputeDtype,
	NativeEngine,
	NativeLosses,
	NativeLossOptions,
	NativePackedBatch,
	NativePredictorOptions,
	NativeSaveOptions,
	NativeScores,
	NativeSnapshot,
	NativeStateKind,
	NativeStepOptions,
	NativeStepResult,
	NativeTensorEntry,
	NativeTrainingBatch,
	Placement,
} from '../native.js';
import { nativeAddon, nativeCall } from '../native.js';
import { requireSameAdapter } from './adapter-config.js';
import type { LoraOptions } from './lora.js';
import { predictorOf } from './predictor.js';
import { openPretrained } from './pretrained.js';
import { nativeShape, type Qwen3Shape } from './qwen3-config.js';
import { readSafetensorsHeader } from './safetensors.js';

export interface WorldModelOptions {
	readonly shape: Qwen3Shape;
	readonly vocabSize: number;
	/** Token that stands for a masked one, recorded by exports; null when the vocabulary has none to spare. */
	readonly maskTokenId: number | null;
	/** Absent: an MLP of twice the hidden size. */
	readonly predictor?: NativePredictorOptions | undefined;
	readonly computeDtype?: ComputeDtype | undefined;
	/** float32 (default) trains; bfloat16 takes half the memory and is frozen: a model that is only read, or the base of LoRA. */
	readonly parameterDtype?: ComputeDtype | undefined;
	/** Train adapters over a frozen base. */
	readonly lora?: LoraOptions | undefined;
	/** Weights that training leaves alone, by their HuggingFace names; not together with `lora`. */
	readonly frozen?: readonly string[] | undefined;
	/** Random initial weights come from it alone. */
	readonly seed: number;
	readonly threads?: number | undefined;
}

/** What a pretrained model does not say itself. */
export interface FromPretrainedOptions
	extends Partial<Pick<WorldModelOptions, 'computeDtype' | 'parameterDtype' | 'lora' | 'seed' | 'threads'>> {
	/** A new one; absent: the one that our export wrote beside the weights, or else a new MLP. */
	readonly predictor?: NativePredictorOptions | undefined;
	/** Unused row of the embedding; absent: what our export recorded, Qwen3's first unused row, or none. */
	readonly maskTokenId?: number | undefined;
	/** `mapped` uses the pages of the file where the dtype is the parameters': the file must then stay as it is. */
	readonly placement?: Placement | undefined;
}

// Qwen3's tokenizer ends at 151,668 and its embedding at 151,935: 267 rows are unused.
const spareToken = (vocabSize: number): number | null => (vocabSize === 151_936 ? 151_669 : null);

export type Pooling = 'last' | 'mean';
export type EncoderChoice = 'encoder' | 'target_encoder';

/**
 * A patient world model: encoder f, target encoder f', predictor g and the optimiser's state, on a thread of their own.
 * Calls are queued and run in order; none blocks the event loop.
 *
 * @example
 * ```ts
 * const model = new WorldModel({ shape, vocabSize: 500, maskTokenId: 1, seed: 7 });
 * const states = await model.embed(batch); // (sequences x hiddenSize)
 * await model.close();
 * ```
 */
export class WorldModel {
	readonly options: WorldModelOptions;
	readonly #engine: NativeEngine;
	#nextJob = 1;

	/**
	 * @throws {ConfigError} {NativeError} For a mask token or a shape that breaks a rule of the model.
	 * @throws {SetupError} When the addon is not built.
	 */
	constructor(options: WorldModelOptions, weights: 'random' | 'from-files' = 'random') {
		this.options = options;
		const { maskTokenId, vocabSize } = options;
		if (maskTokenId !== null && !(Number.isInteger(maskTokenId) && maskTokenId >= 0 && maskTokenId < vocabSize)) {
			throw new ConfigError(
				`[world model] maskTokenId must lie in the vocabulary of ${vocabSize} tokens but is ${maskTokenId}`,
			);
		}
		const { Engine } = nativeAddon();
		try {
			this.#engine = new Engine({
				...nativeShape(options.shape, options.vocabSize),
				predictor: predictorOf(options),
				computeDtype: options.computeDtype ?? 'float32',
				parameterDtype: options.parameterDtype ?? 'float32',
				lora: options.lora ?? null,
				frozen: options.frozen ?? [],
				encoderFromFiles: weights === 'from-files',
				seed: options.seed,
				threads: options.threads ?? 0,
			});
		} catch (cause) {
			throw new NativeError((cause as Error).message, { cause });
		}
	}

	/**
	 * A model from a HuggingFace folder: `config.json` and `model.safetensors`, whole or in shards, of a Qwen3 decoder plain
	 * or inside a wrapper. With bfloat16 parameters 3.4 GB are there in about a second, mapped at once.
	 *
	 * @throws {CheckpointError} For a file that is damaged or of another architecture; names file, tensor and rule.
	 */
	static async fromPretrained(directory: string, options: FromPretrainedOptions = {}): Promise<WorldModel> {
		const { placement = 'owned', maskTokenId, predictor, ...rest } = options;
		const { config, vocabSize, entries } = await openPretrained(directory);
		const model = new WorldModel(
			{
				shape: config.shape,
				vocabSize,
				maskTokenId: maskTokenId ?? config.maskTokenId ?? spareToken(vocabSize),
				predictor: predictor ?? config.predictor,
				seed: 0,
				...rest,
			},
			'from-files',
		);
		try {
			await model.loadTensors('encoder', entries, placement);
			// A frozen model has no predictor: `predictLatent` asks for float32.
			if (predictor === undefined && config.predictor !== undefined && !model.isFrozen)
				await model.load('predictor', join(directory, 'predictor.safetensors'));
			return model;
		} catch (cause) {
			await model.close();
			throw cause;
		}
	}

	get hiddenSize(): number {
		return this.options.shape.hiddenSize;
	}

	/** Trainable scalars of encoder (of its adapters under LoRA) and predictor; a tied head counts once. */
	get parameterCount(): number {
		return this.#engine.parameterCount();
	}

	/**
	 * One update of encoder and predictor, then of the target encoder.
	 *
	 * @param batch - One batch, or micro-batches whose update is that of one large batch.
	 * @throws {AbortedError} When the signal fires; weights and optimiser are then as before the call.
	 * @throws {NativeError} For a batch that breaks a rule, or a loss that is not finite; the state is as before.
	 */
	step(
		batch: NativeTrainingBatch | readonly NativeTrainingBatch[],
		options: NativeStepOptions,
		signal?: AbortSignal,
	): Promise<NativeStepResult> {
		const batches = 'tokens' in batch ? [batch] : batch;
		return this.#call(signal, (job) => this.#engine.step(job, batches, options));
	}

	/** The losses of a batch without an update. */
	losses(batch: NativeTrainingBatch, options: NativeLossOptions, signal?: AbortSignal): Promise<NativeLosses> {
		return this.#call(signal, (job) => this.#engine.losses(job, batch, options));
	}

	/**
	 * Frozen states of packed sequences: the hidden state after the final norm, of the newest token or the mean over tokens.
	 *
	 * @returns (sequences x hiddenSize), row-major.
	 */
	embed(
		batch: NativePackedBatch,
		options: {
			readonly pooling?: Pooling;
			readonly encoder?: EncoderChoice;
			readonly signal?: AbortSignal | undefined;
		} = {},
	): Promise<Float32Array> {
		const { pooling = 'last', encoder = 'encoder', signal } = options;
		return this.#call(signal, (job) => this.#engine.embed(job, batch, pooling, encoder));
	}

	/** Parameters in bfloat16 without adapters: the model is read, never trained, and has no predictor. */
	get isFrozen(): boolean {
		return this.options.parameterDtype === 'bfloat16' && this.options.lora === undefined;
	}

	/** Whether {@link predictLatent} is defined: the predictor was made to start from the state alone. */
	get predictsFromState(): boolean {
		return this.options.predictor?.fromState ?? false;
	}

	/**
	 * Latent rollout: the target encoder's layer-normalised state that is expected some time after the last event of S(t).
	 *
	 * @param states - (n x hiddenSize) S(t) as training has it: `embed` with pooling `last`.
	 * @param daysAhead - (n,) days from the last event in S(t) to the time that is asked for; fractions are allowed.
	 * @returns (n x hiddenSize), row-major.
	 * @throws {ConfigError} When the predictor is not one that maps (state, time ahead), or the lengths do not fit.
	 */
	async predictLatent(
		states: Float32Array,
		daysAhead: Float32Array,
		options: { readonly signal?: AbortSignal | undefined } = {},
	): Promise<Float32Array> {
		if (!this.predictsFromState) {
			throw new ConfigError(
				`[predict latent] the predictor must map a state and a time ahead but is ${this.options.predictor?.kind ?? 'mlp'} on branch rows; train with "branch": {"kind": "state"} (preset rollout)`,
			);
		}
		if (this.isFrozen) {
			throw new ConfigError(
				'[predict latent] parameterDtype must be float32, since a frozen model has no predictor, but is bfloat16; open the model with float32',
			);
		}
		if (states.length !== daysAhead.length * this.hiddenSize) {
			throw new ConfigError(
				`[predict latent] states must hold ${this.hiddenSize} numbers for each of the ${daysAhead.length} times ahead but hold ${states.length}`,
			);
		}
		for (const [row, days] of daysAhead.entries()) {
			if (!Number.isFinite(days) || days < 0) {
				throw new ConfigError(`[predict latent] daysAhead must be finite and not negative but row ${row} has ${days}`);
			}
		}
		return this.#call(options.signal, (job) => this.#engine.predictLatent(job, states, daysAhead));
	}

	/**
	 * Log-probability (natural log) of each token given those before it in its sequence, and on request the hidden states
	 * after the final norm.
	 *
	 * @returns `logProbabilities` (tokens - sequences): sequence after sequence, of every token but the first, which nothing
	 *   predicts; `hidden` (tokens x hiddenSize) or empty.
	 * @throws {NativeError} When a result is not finite: NaN never stands for something else.
	 */
	score(
		batch: NativePackedBatch,
		options: { readonly withHidden?: boolean; readonly signal?: AbortSignal | undefined } = {},
	): Promise<NativeScores> {
		return this.#call(options.signal, (job) => this.#engine.score(job, batch, options.withHidden ?? false));
	}

	/**
	 * Writes what one forward and backward pass makes as float32 safetensors, to be compared with another program's:
	 * `hidden` (tokens x hiddenSize), `logits` (tokens x vocabulary), `loss`, `grad.<parameter>` before clipping.
	 */
	trace(batch: NativeTrainingBatch, options: NativeLossOptions, path: string): Promise<void> {
		return this.#call(undefined, (job) => this.#engine.trace(job, batch, options, path));
	}

	/**
	 * Writes one part of the state as safetensors and fsyncs it. The caller gives a temporary name. Under LoRA the encoders
	 * are written with their adapters merged, the merged weights as float32 unless `dtype` is given.
	 */
	save(kind: NativeStateKind, path: string, options: Partial<NativeSaveOptions> = {}): Promise<void> {
		return this.#call(undefined, (job) => this.#engine.save(job, kind, path, { metadata: {}, ...options }));
	}

	/**
	 * Reads one part of the state; nothing changes unless the whole file fits this model.
	 *
	 * @throws {CheckpointError} For a damaged file, and for adapters whose `adapter_config.json` says another mathematics
	 *   than the `lora` of this model; {NativeError} for tensors of another model.
	 */
	async load(kind: NativeStateKind, path: string): Promise<void> {
		if (kind === 'adapters' || kind === 'target_adapters') await requireSameAdapter(path, this.options.lora);
		const { entries } = await readSafetensorsHeader(path);
		return this.loadTensors(kind, entries);
	}

	/** Reads one part of the state from tensors in any number of files, under the names this model gives them. */
	loadTensors(
		kind: NativeStateKind,
		entries: readonly NativeTensorEntry[],
		placement: Placement = 'owned',
	): Promise<void> {
		return this.#call(undefined, (job) => this.#engine.load(job, kind, entries, placement));
	}

	/** Copies parts of the state in memory, so that they can be written while training goes on. */
	snapshot(kinds: readonly NativeStateKind[]): Promise<NativeSnapshot> {
		return this.#call(undefined, (job) => this.#engine.snapshot(job, kinds));
	}

	/** Cancels what runs, ends the thread and frees the memory. Safe to call twice. */
	async close(): Promise<void> {
		await this.#engine.close();
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.close();
	}

	async #call<T>(signal: AbortSignal | undefined, run: (jobId: number) => Promise<T>): Promise<T> {
		if (signal?.aborted) throw new AbortedError('[world model] aborted before the call', { cause: signal.reason });
		const job = this.#nextJob++ >>> 0;
		const cancel = () => this.#engine.cancel(job);
		signal?.addEventListener('abort', cancel, { once: true });
		try {
			return await nativeCall(() => run(job));
		} finally {
			signal?.removeEventListener('abort', cancel);
		}
	}
}
