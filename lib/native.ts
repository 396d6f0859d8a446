/** The only importer of the addon: types its contract, and gives a native rejection the stack of its caller. */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { isMainThread } from 'node:worker_threads';
import { AbortedError, NativeError, OutOfMemoryError, RankError, SetupError } from './errors.js';
import type {
	NativeBoostingOptions,
	NativeBoostingResult,
	NativeCoxOptions,
	NativeHazardOptions,
	NativeLogisticOptions,
	NativeLogisticResult,
	NativeMultinomialOptions,
	NativeNewtonResult,
	NativeResampleOptions,
	NativeResampleResult,
	NativeRidgeOptions,
	NativeRidgeResult,
} from './native-probes.js';
import type { PackedBatch, TrainingBatch } from './types.js';

/** Shape of a Qwen3 decoder; names are those of HuggingFace's `config.json` in camel case. */
export interface NativeModelShape {
	readonly vocabSize: number;
	readonly hiddenSize: number;
	readonly intermediateSize: number;
	readonly numHiddenLayers: number;
	readonly numAttentionHeads: number;
	readonly numKeyValueHeads: number;
	readonly headDim: number;
	readonly rmsNormEps: number;
	readonly ropeTheta: number;
	readonly tieWordEmbeddings: boolean;
	readonly initializerRange: number;
}

/** A weight of a decoder, by its name in HuggingFace files. */
export interface NativeWeightShape {
	readonly name: string;
	/** PyTorch's layout: (out, in). */
	readonly shape: readonly number[];
}

export interface NativeLoraOptions {
	readonly rank: number;
	readonly alpha: number;
	readonly dropout: number;
	readonly targets: readonly string[];
}

/** Predictor g; a field that its kind does not read is 0. */
export interface NativePredictorOptions {
	readonly kind: 'identity' | 'mlp' | 'transformer';
	/** `mlp`: d -> width -> d; `transformer`: its own width, even. */
	readonly width: number;
	/** Of `transformer`. */
	readonly layers: number;
	/** Of `transformer`; divides the width. */
	readonly heads: number;
	/** `transformer` that starts from the context's state and the time ahead alone, as `predictLatent` needs. */
	readonly fromState: boolean;
}

export interface NativeEngineOptions {
	readonly config: NativeModelShape;
	readonly predictor: NativePredictorOptions;
	/** dtype of the forward and backward pass, not float16. */
	readonly computeDtype: StorageDtype;
	/** float32 trains; bfloat16 takes half the memory and is frozen, but for `stochasticRounding`. */
	readonly parameterDtype: StorageDtype;
	/** Trains bfloat16 parameters, with moments and EMA in bfloat16 as well; not with `lora`. */
	readonly stochasticRounding: boolean;
	/** Which results of the encoder's blocks wait in memory for the backward pass; the others are computed again. */
	readonly activationCheckpointing: 'none' | 'block' | 'selective';
	/** Adapters over a frozen base; null trains the weights themselves. */
	readonly lora: NativeLoraOptions | null;
	/** Weights that training leaves alone, by name. */
	readonly frozen: readonly string[];
	/** No random weights: `load` gives the encoder its tensors before anything else. */
	readonly encoderFromFiles: boolean;
	readonly seed: number;
	/** The same bits every time on the same device; else also what is faster and sums in any order, on a card alone. */
	readonly deterministic: boolean;
	/** Threads of the engine; 0 takes libtorch's default. */
	readonly threads: number;
	/** `cpu` or `cuda:N`. */
	readonly device: string;
}

/** What a training batch is to the core, which has no use for the patients' numbers. */
export type NativeTrainingBatch = Omit<TrainingBatch, 'subjectIds'>;

export interface NativeLatentOptions {
	readonly loss: 'mse' | 'smooth-l1' | 'l1' | 'cosine';
	/** Of smooth-l1. */
	readonly beta: number;
	readonly target: 'ema' | 'online' | 'views';
	readonly targetLayers: number;
	/** Weights of the terms in native/objective/anti_collapse, by name; 0 or absent is none. */
	readonly antiCollapse: Readonly<Record<string, number>>;
}

export interface NativeLossOptions {
	/** 0 switches the next-token loss off. */
	readonly nextTokenWeight: number;
	/** 0 switches the latent loss off, and with it branches and target pass. */
	readonly latentWeight: number;
	/** Which labels carry the next-token loss. */
	readonly nextTokenOn: 'future' | 'all';
	readonly withCollapseMonitors: boolean;
	/** Cosine of both losses' gradients; costs a second backward pass, and means nothing without one. */
	readonly withInterference: boolean;
	readonly latent: NativeLatentOptions;
	/** Dropout masks and SIGReg's directions are drawn from seed and step. */
	readonly seed: number;
	readonly step: number;
}

/** How a process joins others that train the same model. Times are in seconds. */
export interface NativeGroupOptions {
	readonly rank: number;
	readonly worldSize: number;
	/** Of the store at which the ranks meet. */
	readonly address: string;
	readonly port: number;
	/** Rank 0's part, unless the launcher serves it. */
	readonly servesStore: boolean;
	/** Of the store's keys: an attempt does not read what an earlier one left. */
	readonly prefix: string;
	/** Until all ranks must have come. */
	readonly rendezvousTimeout: number;
	/** Until all ranks must have come to a collective. */
	readonly collectiveTimeout: number;
	/** After which a rank that gives no sign of life counts as dead. */
	readonly silenceTimeout: number;
}

/** An update is the sum over `total` shards of its batch; a process computes `count` of them, from `first` on. */
export interface NativeShardRange {
	readonly first: number;
	readonly count: number;
	readonly total: number;
}

/** What of the training state each rank has: all, all but moments and EMA of others' parameters, or not their gradients either. */
export type ParallelKind = 'ddp' | 'zero1' | 'zero2' | 'zero3';

export interface NativeStepOptions extends NativeLossOptions {
	/** AdamW; matrices decay, norms and biases do not. */
	readonly optimizer: {
		readonly learningRate: number;
		readonly beta1: number;
		readonly beta2: number;
		readonly epsilon: number;
		readonly weightDecay: number;
		/** Of matrices other than embedding and head. */
		readonly matrixUpdate: 'adamw' | 'muon';
		readonly muonMomentum: number;
	};
	/** Largest allowed gradient norm; 0 does not clip. */
	readonly gradientClip: number;
	/** Whose norm that is: of all gradients together, or of each parameter's. */
	readonly clipBy: 'global' | 'parameter';
	/** Updates each parameter as soon as the backward pass has its gradient. */
	readonly updateInBackward: boolean;
	/** EMA decay of the target encoder. */
	readonly momentum: number;
	/** The target encoder becomes a copy of the encoder before the step. */
	readonly restartTarget: boolean;
	/** In which gradients travel between ranks. */
	readonly collectives: StorageDtype;
	/** It is an error when the host waits for the device before it reads the step's numbers. */
	readonly forbidWaits: boolean;
	/** Which shards of the update the batches are, an equal number of each, in order; those of other ranks are theirs. */
	readonly shards: NativeShardRange;
}

export interface NativeLosses {
	readonly loss: number;
	readonly nextTokenLoss: number | null;
	readonly latentLoss: number | null;
	/** Labels that carried next-token loss. */
	readonly scoredTokens: number;
	/** Weighted sum of the anti-collapse terms; null without. */
	readonly regulariser: number | null;
	/** Cosine of both losses' gradients over the encoder; null unless asked for. */
	readonly interference: number | null;
	/** The monitors of native/objective/collapse, by name; null unless asked for. */
	readonly collapse: Readonly<Record<string, number>> | null;
}
export interface NativeStepResult extends NativeLosses {
	readonly gradientNorm: number;
}

/** One tensor of a safetensors file, as parsed and checked by TypeScript; C++ checks the bounds again. */
export interface NativeTensorEntry {
	readonly name: string;
	readonly path: string;
	readonly dtype: StorageDtype;
	readonly shape: readonly number[];
	/** Byte offsets from the start of the file. */
	readonly begin: number;
	readonly end: number;
}
export type StorageDtype = 'float32' | 'float16' | 'bfloat16';
export interface NativeSaveOptions {
	readonly metadata: Readonly<Record<string, string>>;
	/** Absent or null: as the tensors are. */
	readonly dtype?: StorageDtype | null | undefined;
	/** Which tensors, in this order; absent or null: all. */
	readonly names?: readonly string[] | null | undefined;
}
/** Memory of our own, or the pages of the file, which must then stay as it is. */
export type Placement = 'owned' | 'mapped';

export type Pooling = 'last' | 'mean' | 'recent';
export type EncoderChoice = 'encoder' | 'target_encoder';

export interface NativeScores {
	/** (tokens - sequences) natural log; sequence after sequence, of every token but the first, which nothing predicts. */
	readonly logProbabilities: Float32Array;
	/** (tokens x hiddenSize) after the final norm; empty unless asked for. */
	readonly hidden: Float32Array;
}

/** A copy of parts of the state, which another thread writes while the engine goes on. */
export interface NativeSnapshot {
	write(kind: NativeStateKind, path: string, metadata: Readonly<Record<string, string>>): Promise<void>;
	/** Frees the memory; later writes are refused. */
	release(): void;
}

/**
 * Which part of the engine's state a file holds. Under LoRA `adapters` and `target_adapters` are what training changes; the
 * encoders are saved with their adapters merged, and loading `encoder` gives the base.
 */
export type NativeStateKind = 'encoder' | 'target_encoder' | 'adapters' | 'target_adapters' | 'predictor' | 'optimizer';

/** Bytes of one rank, without the headers of messages. */
export interface NativeBytes {
	readonly sent: number;
	readonly received: number;
}

/** Bytes by the collective of gloo's that they travelled in. */
export interface NativeTraffic {
	/** All-gather: a ring. */
	readonly gather: NativeBytes;
	/** All-to-all: straight to each rank. */
	readonly swap: NativeBytes;
	/** Broadcast: a binomial tree from the rank that has it. */
	readonly spread: NativeBytes;
	/** Of these, of tensors of a device, which were copied to the host and back: gloo knows no other. */
	readonly staged: NativeBytes;
}

/**
 * The processes that train one model. Every rank makes the same calls in the same order, those of its engine's steps among
 * them, one at a time.
 */
export interface NativeProcessGroup {
	/** Meets the others; resolves when all have come. Before anything else. */
	join(jobId: number): Promise<void>;
	/** Instead: tells the others why this process does not come. Resolves when they have heard it, or after some seconds. */
	report(jobId: number, why: string): Promise<void>;
	/** A text of every rank, in their order. */
	exchange(jobId: number, text: string): Promise<string[]>;
	/** What this rank has sent and got since the ranks met. */
	traffic(): NativeTraffic;
	/** What ended the group for all; null while it lives. */
	failure(): string | null;
	/** Ends it for all. @param message - What this rank did: `was stopped`. */
	fail(message: string): void;
	cancel(jobId: number): void;
	/** Cancels what runs and leaves; rank 0 waits some seconds for the others. */
	close(): Promise<void>;
}

/**
 * One model and one thread that runs it. Calls are queued and run in order; none runs on the event loop.
 * `jobId` names a running call so that `cancel` can stop it: the state is then as before the call.
 */
export interface NativeEngine {
	/** Steps are those of all ranks of a group that has met, each with a share of every update. */
	join(jobId: number, group: NativeProcessGroup, kind: ParallelKind): Promise<void>;
	/** Makes the encoders of which ranks keep parts whole on every rank, for `losses`, `embed` and `score`: a call of all ranks. */
	gatherModel(jobId: number): Promise<void>;
	releaseModel(jobId: number): Promise<void>;
	/**
	 * One update from micro-batches: each loss is the mean over all of them together. `next` are those of the step after it,
	 * which go up to the device while it computes this one.
	 */
	step(
		jobId: number,
		batches: readonly NativeTrainingBatch[],
		options: NativeStepOptions,
		next?: readonly NativeTrainingBatch[],
	): Promise<NativeStepResult>;
	losses(jobId: number, batch: NativeTrainingBatch, options: NativeLossOptions): Promise<NativeLosses>;
	/**
	 * (ends x layers x hiddenSize) hidden states, of the last token of a prefix or a mean over its tokens. `ends` holds the row
	 * of the pack behind each prefix; `layers` the numbers of the hidden states, ascending: 0 the embedding, k the output of
	 * block k, the last one after the final norm.
	 */
	embed(
		jobId: number,
		batch: PackedBatch,
		pooling: Pooling,
		encoder: EncoderChoice,
		ends: Int32Array,
		layers: Int32Array,
	): Promise<Float32Array>;
	/** (rows x hiddenSize) predicted target states; refused by a predictor that needs branch rows. */
	predictLatent(jobId: number, states: Float32Array, daysAhead: Float32Array): Promise<Float32Array>;
	/** Log-probability of each token given those before it. */
	score(jobId: number, batch: PackedBatch, withHidden: boolean): Promise<NativeScores>;
	/** Writes `hidden`, `logits`, `loss` and `grad.<parameter>` of a batch as float32 safetensors. */
	trace(jobId: number, batch: NativeTrainingBatch, options: NativeLossOptions, path: string): Promise<void>;
	/** Writes a safetensors file; the caller gives a temporary name and renames. */
	save(jobId: number, kind: NativeStateKind, path: string, options: NativeSaveOptions): Promise<void>;
	/** `mapped` counts for the encoder alone, for tensors stored in the parameters' dtype. */
	load(
		jobId: number,
		kind: NativeStateKind,
		entries: readonly NativeTensorEntry[],
		placement: Placement,
	): Promise<void>;
	/** Copies parts of the state in memory. */
	snapshot(jobId: number, kinds: readonly NativeStateKind[]): Promise<NativeSnapshot>;
	parameterCount(): number;
	cancel(jobId: number): void;
	/** Stops the thread after the running call was cancelled; later calls are rejected. */
	close(): Promise<void>;
}

export interface NativeAddon {
	readonly Engine: new (options: NativeEngineOptions) => NativeEngine;
	readonly ProcessGroup: new (options: NativeGroupOptions) => NativeProcessGroup;
	/** Solvers run on a thread of their own, never on the event loop. */
	fitLogistic(options: NativeLogisticOptions): Promise<NativeLogisticResult>;
	fitRidge(options: NativeRidgeOptions): Promise<NativeRidgeResult>;
	fitBoosting(options: NativeBoostingOptions): Promise<NativeBoostingResult>;
	fitMultinomial(options: NativeMultinomialOptions): Promise<NativeNewtonResult>;
	fitCox(options: NativeCoxOptions): Promise<NativeNewtonResult>;
	fitHazard(options: NativeHazardOptions): Promise<NativeNewtonResult>;
	/** Bootstrap resamples, counted by cell. */
	resample(options: NativeResampleOptions): Promise<NativeResampleResult>;
	buildInfo(): NativeBuildInfo;
	/** Every op on a device against its reference. */
	checkOps(options: NativeOpCheckOptions): Promise<readonly NativeOpCheck[]>;
	/** What `cuda` comes to in this build on this machine, now. */
	devices(): NativeDevices;
	/** The weights of a decoder in the order of the files; a tied head is none of its own. */
	weightShapes(shape: NativeModelShape): readonly NativeWeightShape[];
	/** Called when the process is about to end: while a call runs it then ends without destructors (native/api/running_call.h). */
	prepareExit(code: number): void;
	/** Every type that crosses the border as the core has it, under its name here; a test compares both. */
	contract(): Readonly<Record<string, unknown>>;
}

export interface NativeBuildInfo {
	readonly version: string;
	readonly torch: string;
	readonly cuda: boolean;
	/** What libtorch uses on this machine: `AVX512`, `AVX2` ... */
	readonly cpuCapability: string;
	/** Whether this machine's processor has instructions for products of bfloat16. */
	readonly multipliesBfloat16: boolean;
}

export interface NativeOpCheckOptions {
	/** `cpu` or `cuda:N`. */
	readonly device: string;
	/** Times small tensors. */
	readonly quick: boolean;
}
/** An op with its gradient on a device, against its reference in float64 on the CPU. */
export interface NativeOpCheck {
	readonly name: string;
	/** The op's own; else its reference, in plain ATen, computes there. */
	readonly kernels: boolean;
	/** |found - expected| / |expected|, L2, the largest over results and gradients; -1: not computed in float32. */
	readonly float32Error: number;
	readonly float32Limit: number;
	readonly bfloat16Error: number;
	readonly bfloat16Limit: number;
	/** Forward and backward, median. */
	readonly seconds: number;
	/** That was timed. */
	readonly dtype: string;
	/** Multiplications and additions of that; 0 where they do not count. */
	readonly flops: number;
	/** Least that it reads and writes. */
	readonly bytes: number;
}

/** A card that libtorch sees. */
export interface NativeDeviceInfo {
	/** Of the product. */
	readonly name: string;
	/** Compute capability: 8 and 0 are sm_80. */
	readonly major: number;
	readonly minor: number;
	/** Bytes. */
	readonly memory: number;
	/** Bytes that this process's tensors hold there now. */
	readonly held: number;
	/** The most that they held at one time. */
	readonly peak: number;
}
export interface NativeDevices {
	/** The build can compute on CUDA. */
	readonly built: boolean;
	/** Version of CUDA that the driver serves, such as `13.0`; empty without one. */
	readonly driver: string;
	/** Number N is `cuda:N`. */
	readonly list: readonly NativeDeviceInfo[];
}

let loaded: NativeAddon | undefined;

/** Where the addon may be, in the order tried. `EHR_JEPA_ADDON` names one file outright. */
function candidates(): string[] {
	const override = process.env.EHR_JEPA_ADDON;
	if (override !== undefined && override !== '') return [override];
	return ['release', 'debug'].map((preset) =>
		fileURLToPath(new URL(`../../build/${preset}/ehr_jepa.node`, import.meta.url)),
	);
}

/**
 * libgomp reads its settings once, when it is loaded. Its idle threads spin for 300,000 turns by default, which stalls every
 * process of a machine that runs more than one (docs/adr/0004). Environments that name a policy keep it.
 */
function limitSpinning(): void {
	if (process.env.OMP_WAIT_POLICY === undefined) process.env.GOMP_SPINCOUNT ??= '5000';
}

/**
 * The addon, loaded at the first call.
 *
 * @throws {SetupError} When it is not built or cannot be loaded; names the files tried and the command to run.
 */
export function nativeAddon(): NativeAddon {
	if (loaded !== undefined) return loaded;
	limitSpinning();
	const failures: string[] = [];
	for (const file of candidates()) {
		if (!existsSync(file)) {
			failures.push(`${file}: not there`);
			continue;
		}
		try {
			const addon = createRequire(import.meta.url)(file) as NativeAddon;
			// A worker's end waits for its calls by itself; what ends the process is the main thread.
			if (isMainThread) process.once('exit', (code) => addon.prepareExit(code));
			loaded = addon;
			return addon;
		} catch (cause) {
			failures.push(`${file}: ${(cause as Error).message}`);
		}
	}
	throw new SetupError(
		`[native] the addon could not be loaded (${process.platform}-${process.arch}):\n  ${failures.join('\n  ')}\nBuild it with: npx ehr-jepa setup`,
	);
}

/** Awaits a native promise; a rejection becomes a typed error with the message of the core and the caller's stack. */
export async function nativeCall<T>(call: () => Promise<T> | T): Promise<T> {
	const callSite = new NativeError();
	try {
		return await call();
	} catch (cause) {
		// There is no addon: nothing native failed.
		if (cause instanceof SetupError) throw cause;
		const message = (cause as Error).message;
		if ((cause as { code?: string }).code === 'ABORT_ERR') throw new AbortedError(message, { cause });
		if ((cause as { code?: string }).code === 'EHR_JEPA_RANKS') throw new RankError(message, { cause });
		if ((cause as { code?: string }).code === 'EHR_JEPA_MEMORY') throw new OutOfMemoryError(message, { cause });
		callSite.message = message;
		callSite.cause = cause;
		callSite.stack = `${callSite.name}: ${message}\n${(callSite.stack ?? '').split('\n').slice(1).join('\n')}`;
		throw callSite;
	}
}
