import { join } from 'node:path';
import { z } from 'zod';
import { nonNegativeInteger, parseConfig, positiveInteger, seed } from '../config.js';
import { AbortedError, ConfigError, NativeError } from '../errors.js';
import type {
	EncoderChoice,
	NativeEngine,
	NativeLosses,
	NativePredictorOptions,
	NativeSaveOptions,
	NativeScores,
	NativeSnapshot,
	NativeStateKind,
	NativeStepResult,
	NativeTensorEntry,
	NativeTrainingBatch,
	ParallelKind,
	Placement,
	Pooling,
} from '../native.js';
import { nativeAddon, nativeCall } from '../native.js';
import type { CollapseMonitors } from '../objective/collapse-monitors.js';
import type { ProcessGroup } from '../ranks/process-group.js';
import type { PackedBatch } from '../types.js';
import { requireSameAdapter } from './adapter-config.js';
import { ComputeDtype } from './compute-dtype.js';
import { chooseDevice, Device, type DeviceChoice } from './device.js';
import { type HiddenStates, hiddenStateNumbers } from './hidden-states.js';
import { LoraOptions } from './lora.js';
import { PredictorOptions, predictorOf } from './predictor.js';
import { openPretrained } from './pretrained.js';
import { nativeShape, Qwen3Shape } from './qwen3-config.js';
import { readSafetensorsHeader } from './safetensors.js';
import { LossOptions, nativeLossOptions, nativeStepOptions, StepOptions } from './step-options.js';

/** What a model is made from; the size of the vocabulary alone has no default. */
export const WorldModelOptions = z
	.strictObject({
		/** One of `modelSizes` or a shape of one's own; `{}` is the `demo` size. */
		shape: Qwen3Shape.prefault({}),
		vocabSize: positiveInteger,
		/** Token that stands for a masked one, recorded by exports; null when the vocabulary has none to spare. */
		maskTokenId: nonNegativeInteger.nullable().default(null),
		/** Absent: an MLP of twice the hidden size. */
		predictor: PredictorOptions.optional(),
		computeDtype: ComputeDtype.default('float32'),
		/**
		 * float32 trains; bfloat16 takes half the memory and is frozen (a model that is only read, or the base of LoRA) but for
		 * `stochasticRounding`.
		 */
		parameterDtype: ComputeDtype.default('float32'),
		/** Trains bfloat16 parameters: with moments and EMA 8 bytes each, all rounded stochastically. Not with `lora`. */
		stochasticRounding: z.boolean().default(false),
		/**
		 * What training keeps of the encoder's blocks for the backward pass: everything, the input of each `block`, or
		 * (`selective`) attention and the input of each MLP. The rest is computed again; the results are the same to the bit.
		 */
		activationCheckpointing: z.enum(['none', 'block', 'selective']).default('none'),
		/** Train adapters over a frozen base. */
		lora: LoraOptions.optional(),
		/** Weights that training leaves alone, by their HuggingFace names; not together with `lora`. */
		frozen: z.array(z.string()).default([]),
		/** Random initial weights come from it alone. */
		seed: seed.default(1),
		/**
		 * The same bits every time on the same device. `false` admits ways of computing on a card that may be faster and sum in
		 * any order; it changes nothing on the CPU.
		 */
		deterministic: z.boolean().default(true),
		/** Threads of the engine; 0 takes all cores. */
		threads: nonNegativeInteger.default(0),
		/** Where everything of it lives and is computed: `auto` takes the first card of a CUDA build, else the CPU. */
		device: Device.default('auto'),
	})
	.refine(
		({ stochasticRounding, parameterDtype, lora }) =>
			!stochasticRounding || (parameterDtype === 'bfloat16' && lora === undefined),
		{ path: ['stochasticRounding'], message: 'must go with "parameterDtype": "bfloat16" and without lora' },
	)
	.refine(({ maskTokenId, vocabSize }) => maskTokenId === null || maskTokenId < vocabSize, {
		path: ['maskTokenId'],
		message: 'must lie in the vocabulary',
	});
export type WorldModelOptions = z.input<typeof WorldModelOptions>;

/** What a pretrained model does not say itself. */
export interface FromPretrainedOptions
	extends Partial<
		Pick<
			WorldModelOptions,
			| 'computeDtype'
			| 'parameterDtype'
			| 'stochasticRounding'
			| 'activationCheckpointing'
			| 'lora'
			| 'deterministic'
			| 'seed'
			| 'threads'
			| 'device'
		>
	> {
	/** A new one; absent: the one that our export wrote beside the weights, or else a new MLP. */
	readonly predictor?: NativePredictorOptions | undefined;
	/** Unused row of the embedding; absent: what our export recorded, Qwen3's first unused row, or none. */
	readonly maskTokenId?: number | undefined;
	/** `mapped` uses the pages of the file where the dtype is the parameters': the file must then stay as it is. */
	readonly placement?: Placement | undefined;
}

// Qwen3's tokenizer ends at 151,668 and its embedding at 151,935: 267 rows are unused.
const spareToken = (vocabSize: number): number | null => (vocabSize === 151_936 ? 151_669 : null);

export type { EncoderChoice, Pooling };

/** Losses of a batch, in nats and in the latent loss's own unit. */
export interface Losses extends Omit<NativeLosses, 'collapse'> {
	/** Null unless asked for, or without a latent loss. */
	readonly collapse: CollapseMonitors | null;
}
/** Losses before the update, and the gradient's global L2 norm before clipping. */
export interface StepResult extends Losses {
	readonly gradientNorm: number;
}

/**
 * A patient world model: encoder f, target encoder f', predictor g and the optimiser's state, on a thread of their own.
 * Calls are queued and run in order; none blocks the event loop.
 *
 * @example
 * ```ts
 * const model = new WorldModel({ vocabSize: 500, maskTokenId: 1 });
 * const states = await model.embed(batch); // (sequences x hiddenSize)
 * await model.close();
 * ```
 */
export class WorldModel {
	readonly options: z.output<typeof WorldModelOptions>;
	/** Where it computes: what `options.device` came to. */
	readonly device: DeviceChoice['device'];
	readonly #engine: NativeEngine;
	#nextJob = 1;
	#source: string | undefined;

	/**
	 * @throws {ConfigError} {NativeError} For a mask token or a shape that breaks a rule of the model.
	 * @throws {SetupError} When the addon is not built. {DeviceError} For a device that is not to be had.
	 */
	constructor(options: WorldModelOptions, weights: 'random' | 'from-files' = 'random') {
		this.options = parseConfig('world model', WorldModelOptions, options);
		const { shape, vocabSize, lora = null, maskTokenId: _, device, ...rest } = this.options;
		this.device = chooseDevice(device).device;
		const { Engine } = nativeAddon();
		try {
			this.#engine = new Engine({
				...rest,
				device: this.device,
				config: nativeShape(shape, vocabSize),
				predictor: predictorOf(this.options),
				lora,
				encoderFromFiles: weights === 'from-files',
			});
		} catch (cause) {
			throw new NativeError((cause as Error).message, { cause });
		}
	}

	/**
	 * A model from a HuggingFace folder: `config.json` and `model.safetensors`, whole or in shards, of a Qwen3 decoder plain
	 * or inside a wrapper. Every weight is read once, so that none is not a number: docs/checkpoints.md has the time it takes.
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
			model.#source = directory;
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

	/** HuggingFace folder that it was opened from; undefined for any other model. */
	get source(): string | undefined {
		return this.#source;
	}

	/** Blocks of the encoder. */
	get depth(): number {
		return this.options.shape.numHiddenLayers;
	}

	get hiddenSize(): number {
		return this.options.shape.hiddenSize;
	}

	/** Trainable scalars of encoder (of its adapters under LoRA) and predictor; a tied head counts once. */
	get parameterCount(): number {
		return this.#engine.parameterCount();
	}

	/**
	 * Makes the steps of this model those of all ranks of a group: each gives its shards of every update, and all get the same
	 * parameters to the bit. The models must be the same to begin with.
	 *
	 * @param kind - With `zero1` and `zero2` each rank keeps moments and EMA of a part of the parameters alone, with `zero3` those
	 * parameters of the encoder too. The model must not have been trained, and its state not loaded, before; `load` then reads this
	 * rank's part, and `save` writes it into a file that all ranks are given.
	 */
	joinGroup(group: ProcessGroup, kind: ParallelKind = 'ddp'): Promise<void> {
		return this.#call(undefined, (job) => this.#engine.join(job, group.native, kind));
	}

	/** Runs an act with both encoders whole on every rank, where ranks keep parts of them: a call of all of them. */
	async withWholeModel<T>(signal: AbortSignal | undefined, act: () => Promise<T>): Promise<T> {
		await this.#call(signal, (job) => this.#engine.gatherModel(job));
		try {
			return await act();
		} finally {
			await this.#call(undefined, (job) => this.#engine.releaseModel(job));
		}
	}

	/**
	 * One update of encoder and predictor, then of the target encoder.
	 *
	 * @example
	 * ```ts
	 * const { loss } = await model.step(batch, { learningRate: 1e-3 });
	 * ```
	 * @param batch - One batch, or micro-batches whose update is that of one large batch.
	 * @param next - Those of the step after this one, where they are known: they go up to a device while it computes this step.
	 *   No result depends on it, and on the CPU nothing is done with it.
	 * @throws {ConfigError} For options that break a rule.
	 * @throws {AbortedError} When the signal fires; weights and optimiser are then as before the call.
	 * @throws {NativeError} For a batch that breaks a rule, or a loss that is not finite; the state is as before.
	 */
	async step(
		batch: NativeTrainingBatch | readonly NativeTrainingBatch[],
		options: StepOptions,
		signal?: AbortSignal,
		next: readonly NativeTrainingBatch[] = [],
	): Promise<StepResult> {
		const native = nativeStepOptions(parseConfig('step', StepOptions, options));
		const batches = ('tokens' in batch ? [batch] : batch).map(nativeBatch);
		const announced = this.device === 'cpu' ? [] : next.map(nativeBatch);
		const result = await this.#call(signal, (job) => this.#engine.step(job, batches, native, announced));
		return withMonitors(result);
	}

	/** The losses of a batch without an update. */
	async losses(batch: NativeTrainingBatch, options: LossOptions = {}, signal?: AbortSignal): Promise<Losses> {
		const native = nativeLossOptions(parseConfig('losses', LossOptions, options));
		return withMonitors(await this.#call(signal, (job) => this.#engine.losses(job, nativeBatch(batch), native)));
	}

	/**
	 * Frozen states of packed sequences: the hidden state after the final norm, of the newest token, the mean over tokens,
	 * or a mean that favours recent ones. With `layers` others, or several one after another.
	 *
	 * With `ends` those of prefixes, in one pass: the decoder is causal, so that a prefix has the states it has alone.
	 *
	 * @param options.ends - (prefixes,) the row of the pack behind each prefix, which begins where the sequence of its last row
	 *   does; absent: every sequence whole.
	 * @param options.layers - Which hidden states; absent: `last`.
	 * @returns (sequences or prefixes x layers x hiddenSize), row-major.
	 * @throws {NativeError} For an end that is no row's. {ConfigError} For a layer that is none.
	 */
	embed(
		batch: PackedBatch,
		options: {
			readonly pooling?: Pooling;
			readonly encoder?: EncoderChoice;
			readonly ends?: Int32Array | undefined;
			readonly layers?: HiddenStates | undefined;
			readonly signal?: AbortSignal | undefined;
		} = {},
	): Promise<Float32Array> {
		const { pooling = 'last', encoder = 'encoder', ends = batch.cuSeqlens.slice(1), layers = 'last', signal } = options;
		const numbers = hiddenStateNumbers(layers, this.depth);
		return this.#call(signal, (job) => this.#engine.embed(job, nativePacked(batch), pooling, encoder, ends, numbers));
	}

	/** Parameters in bfloat16 without adapters or stochastic rounding: the model is read, never trained, and has no predictor. */
	get isFrozen(): boolean {
		const { parameterDtype, lora, stochasticRounding } = this.options;
		return parameterDtype === 'bfloat16' && lora === undefined && !stochasticRounding;
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
				`[predict latent] the predictor must map a state and a time ahead but is ${this.options.predictor?.kind ?? 'mlp'} on branch rows; train with "branch": {"kind": "state"} (objective preset rollout, --objective rollout)`,
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
		batch: PackedBatch,
		options: { readonly withHidden?: boolean; readonly signal?: AbortSignal | undefined } = {},
	): Promise<NativeScores> {
		return this.#call(options.signal, (job) =>
			this.#engine.score(job, nativePacked(batch), options.withHidden ?? false),
		);
	}

	/**
	 * Writes what one forward and backward pass makes as float32 safetensors, to be compared with another program's:
	 * `hidden` (tokens x hiddenSize), `logits` (tokens x vocabulary), `loss`, `grad.<parameter>` before clipping.
	 */
	async trace(batch: NativeTrainingBatch, options: LossOptions, path: string): Promise<void> {
		const native = nativeLossOptions(parseConfig('trace', LossOptions, options));
		return this.#call(undefined, (job) => this.#engine.trace(job, nativeBatch(batch), native, path));
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

// The addon refuses fields that it does not know, and a batch may carry more than the core reads.
function nativePacked({ tokens, cuSeqlens, positionIds }: PackedBatch): PackedBatch {
	return { tokens, cuSeqlens, positionIds };
}
function nativeBatch(batch: NativeTrainingBatch): NativeTrainingBatch {
	return { ...nativePacked(batch), contextLengths: batch.contextLengths, branches: batch.branches };
}

/** The core's monitors are those of the table: test/bindings/contract.test.ts. */
function withMonitors<Result extends NativeLosses | NativeStepResult>(result: Result) {
	return { ...result, collapse: result.collapse as CollapseMonitors | null };
}
