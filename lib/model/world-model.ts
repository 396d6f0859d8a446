import { AbortedError, NativeError } from '../errors.js';
import type {
	ComputeDtype,
	NativeEngine,
	NativeLosses,
	NativeLossOptions,
	NativePackedBatch,
	NativeStateKind,
	NativeStepOptions,
	NativeStepResult,
	NativeTrainingBatch,
} from '../native.js';
import { nativeAddon, nativeCall } from '../native.js';
import { nativeShape, type Qwen3Shape } from './qwen3-config.js';
import { readSafetensorsHeader } from './safetensors.js';

export interface WorldModelOptions {
	readonly shape: Qwen3Shape;
	readonly vocabSize: number;
	/** Token that stands for a masked one. */
	readonly maskTokenId: number;
	/** Hidden width of the predictor; absent: twice the hidden size. */
	readonly predictorWidth?: number | undefined;
	readonly computeDtype?: ComputeDtype | undefined;
	/** Random initial weights come from it alone. */
	readonly seed: number;
	readonly threads?: number | undefined;
}

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
	 * @throws {NativeError} For a shape that breaks a rule of the model.
	 * @throws {SetupError} When the addon is not built.
	 */
	constructor(options: WorldModelOptions) {
		this.options = options;
		const { Engine } = nativeAddon();
		try {
			this.#engine = new Engine({
				...nativeShape(options.shape, options.vocabSize),
				predictorWidth: options.predictorWidth ?? 2 * options.shape.hiddenSize,
				maskTokenId: options.maskTokenId,
				computeDtype: options.computeDtype ?? 'float32',
				seed: options.seed,
				threads: options.threads ?? 0,
			});
		} catch (cause) {
			throw new NativeError((cause as Error).message, { cause });
		}
	}

	get hiddenSize(): number {
		return this.options.shape.hiddenSize;
	}

	/** Trainable scalars of encoder and predictor; a tied head counts once. */
	get parameterCount(): number {
		return this.#engine.parameterCount();
	}

	/**
	 * One update of encoder and predictor, then of the target encoder.
	 *
	 * @throws {AbortedError} When the signal fires; weights and optimiser are then as before the call.
	 * @throws {NativeError} For a batch that breaks a rule, or a loss that is not finite; the state is as before.
	 */
	step(batch: NativeTrainingBatch, options: NativeStepOptions, signal?: AbortSignal): Promise<NativeStepResult> {
		return this.#call(signal, (job) => this.#engine.step(job, batch, options));
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

	/** Writes one part of the state as safetensors and fsyncs it. The caller gives a temporary name. */
	save(kind: NativeStateKind, path: string, metadata: Readonly<Record<string, string>> = {}): Promise<void> {
		return this.#call(undefined, (job) => this.#engine.save(job, kind, path, metadata));
	}

	/**
	 * Reads one part of the state; nothing changes unless the whole file fits this model.
	 *
	 * @throws {CheckpointError} For a damaged file; {NativeError} for tensors of another model.
	 */
	async load(kind: NativeStateKind, path: string): Promise<void> {
		const { entries } = await readSafetensorsHeader(path);
		return this.#call(undefined, (job) => this.#engine.load(job, kind, path, entries));
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
