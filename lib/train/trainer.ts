import { AbortedError, ConfigError } from '../errors.js';
import { requirePath } from '../files/path.js';
import type { Losses, WorldModel } from '../model/world-model.js';
import { weightsAt } from '../objective/objective.js';
import { prefetchBatches } from '../sample/prefetch.js';
import type { TokenStore } from '../store/token-store.js';
import type { LongOperation, Split, TrainingBatch } from '../types.js';
import { batchLosses, meanLosses } from './batch-losses.js';
import { CheckpointWriter } from './checkpoint-writer.js';
import { CollapseWatch } from './collapse-warning.js';
import { requireMemory } from './fit.js';
import { checkpointModel, initialModel, planRun, type RunModelOptions } from './initial-model.js';
import { Instruments } from './instruments/instruments.js';
import type { InstrumentMetrics } from './instruments/metrics.js';
import { isReadingDue, readingTokens } from './instruments/options.js';
import { lossOptionsAt, samplerOptions, updateOptions } from './loss-options.js';
import type { StepMetrics, TuningMetrics } from './metrics.js';
import { requireSameData } from './open-model.js';
import { type RunConfig, updatesOf } from './run-config.js';
import { RunFolder } from './run-folder.js';
import { learningRateAt } from './schedule.js';
import type { TrainConfig, TrainConfigInput } from './train-config.js';

// The tuning batches differ from every training batch although both come from the run's seed.
const tuningSeedOffset = 1_000_003;

/**
 * Trains a world model in a run folder: batches, steps, metrics, checkpoints.
 *
 * @example
 * ```ts
 * const store = await openTokenStore('store');
 * await using trainer = await Trainer.create('runs/first', store, { steps: 200 });
 * for await (const metrics of trainer.run(store)) console.log(metrics.step, metrics.loss);
 * ```
 */
export class Trainer {
	readonly model: WorldModel;
	readonly folder: RunFolder;
	#step: number;
	#lastTuning: TuningMetrics | undefined;
	#lastInstruments: InstrumentMetrics | undefined;

	private constructor(folder: RunFolder, model: WorldModel, step: number) {
		this.folder = folder;
		this.model = model;
		this.#step = step;
	}

	/**
	 * Starts a run, with random weights or from `config.initialWeights`. One that this machine's memory cannot hold is refused
	 * before anything is allocated.
	 *
	 * @param path - New or empty run folder.
	 * @throws {ConfigError} {CheckpointError} {VocabularyError} {OutputError} {NativeError} {SetupError} {DeviceError}
	 */
	static async create(
		path: string,
		store: TokenStore,
		config: TrainConfigInput = {},
		{ device }: Pick<RunModelOptions, 'device'> = {},
	): Promise<Trainer> {
		requirePath('train', 'run', path);
		const run = await planRun(store, config);
		requireMemory(run.train, run.data.vocabSize);
		const model = await initialModel(run, { device });
		try {
			return new Trainer(await RunFolder.create(path, run), model, 0);
		} catch (cause) {
			await model.close();
			throw cause;
		}
	}

	/**
	 * Continues a run from its newest whole checkpoint; a newer one that is damaged is passed over with a warning. A run that
	 * was interrupted before its first starts again: all of it follows from the seed.
	 *
	 * @param options.steps - Extends the run to so many updates in all. Those beyond `config.steps` have the learning rate,
	 * weights and momentum with which the schedules end.
	 * @throws {ConfigError} When `steps` is not more than the run makes anyway.
	 * @throws {CheckpointError} When every checkpoint is damaged, or one is of another configuration or a newer format, or the store is
	 * not the one the run was made on.
	 */
	static async resume(
		path: string,
		store: TokenStore,
		{
			onWarning,
			steps,
			device,
		}: Pick<LongOperation, 'onWarning'> &
			Pick<RunModelOptions, 'device'> & { readonly steps?: number | undefined } = {},
	): Promise<Trainer> {
		const folder = await RunFolder.openToWrite(path);
		try {
			requireSameData(folder.config, store);
			if (steps !== undefined) requireMoreUpdates(folder.config, steps);
			const { model, step } = await newestState(folder, onWarning, { device });
			try {
				return new Trainer(steps === undefined ? folder : await folder.extend(steps), model, step);
			} catch (cause) {
				await model.close();
				throw cause;
			}
		} catch (cause) {
			folder.release();
			throw cause;
		}
	}

	/** Updates made so far. */
	get step(): number {
		return this.#step;
	}

	/** Newest evaluation on the tuning split. */
	get lastTuning(): TuningMetrics | undefined {
		return this.#lastTuning;
	}

	/** Newest reading of the instruments. */
	get lastInstruments(): InstrumentMetrics | undefined {
		return this.#lastInstruments;
	}

	get config(): TrainConfig {
		return this.folder.config.train;
	}

	/** Updates that the run makes in all: `config.steps`, or more when it was extended. */
	get steps(): number {
		return updatesOf(this.folder.config);
	}

	/**
	 * Trains to the number of steps of the run; yields after each update. Stopping early (break, abort, error) leaves a
	 * checkpoint of the last whole step, so that the run can be resumed.
	 *
	 * @throws {AbortedError} {NativeError} {OutputError} {CheckpointError}
	 */
	async *run(store: TokenStore, operation: LongOperation = {}): AsyncGenerator<StepMetrics> {
		requireSameData(this.folder.config, store);
		const { config, steps } = this;
		const { writer: metrics, kept } = await this.folder.openMetrics(this.#step);
		const writer = new CheckpointWriter(this.folder, this.model, operation.onWarning ?? (() => {}));
		const watch = new CollapseWatch(operation.onWarning ?? (() => {}));
		for (const line of kept) if (line.kind === 'train' && line.collapse !== undefined) watch.recall(line.collapse);
		const instruments = await this.#openInstruments(store);
		const read = async () => {
			if (instruments === undefined) return;
			this.#lastInstruments = await instruments.read(this.model, this.#step, operation.signal);
			await metrics.write(this.#lastInstruments);
		};
		let savedAt = this.#step;
		const save = async () => {
			if (savedAt === this.#step) return undefined;
			savedAt = this.#step;
			return writer.save(this.#step);
		};
		let checkpointMs: number | undefined;
		let whole = false;
		try {
			if (this.#step === 0 && !kept.some(({ kind }) => kind === 'instruments')) await read();
			let waiting = performance.now();
			for await (const batches of microBatches(
				store,
				{ first: this.#step + 1, last: steps },
				config,
				operation.signal,
			)) {
				if (operation.signal?.aborted) throw new AbortedError('[train] aborted', { cause: operation.signal.reason });
				const waitMs = performance.now() - waiting;
				const line = await this.#trainStep(batches, waitMs, checkpointMs, operation.signal);
				checkpointMs = undefined;
				await metrics.write(line);
				if (line.collapse !== undefined) watch.read(line.step, line.collapse);
				operation.onProgress?.({
					stage: 'train',
					done: this.#step,
					total: steps,
					unit: 'steps',
					note: progressNote(line),
				});
				yield line;
				if (isDue(this.#step, config.tuningEvery, steps)) {
					this.#lastTuning = await this.#tuning(store, operation.signal);
					if (this.#lastTuning !== undefined) await metrics.write(this.#lastTuning);
				}
				if (isReadingDue(config, this.#step, steps)) await read();
				if (isDue(this.#step, config.checkpointEvery, steps)) checkpointMs = await save();
				waiting = performance.now();
			}
			whole = true;
		} finally {
			await metrics.close();
			const saved = save().then(() => writer.finish());
			// After a failure the first error counts, not a failure to save.
			if (whole) await saved;
			else await saved.catch(() => {});
		}
	}

	/** Mean losses over `config.tuningBatches` fixed batches of a split. */
	async evaluateLosses(store: TokenStore, split: Split, signal?: AbortSignal): Promise<TuningMetrics> {
		const { config } = this;
		const batches = batchLosses(this.model, store, config, {
			split,
			seed: config.seed + tuningSeedOffset,
			step: Math.max(1, this.#step),
			batches: config.tuningBatches,
			signal,
		});
		return { kind: 'tuning', step: this.#step, ...(await meanLosses(batches)) };
	}

	/** Frees the model's memory and lets another process write the run folder. */
	async close(): Promise<void> {
		this.folder.release();
		await this.model.close();
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.close();
	}

	async #trainStep(
		batches: readonly TrainingBatch[],
		waitMs: number,
		checkpointMs: number | undefined,
		signal: AbortSignal | undefined,
	): Promise<StepMetrics> {
		const { config } = this;
		const step = this.#step + 1;
		const learningRate = learningRateAt(step, config.steps, config.optimizer);
		const { latent } = config.objective;
		const { momentum } = weightsAt(config.objective, step, config.steps);
		const started = performance.now();
		const result = await this.model.step(
			batches,
			{
				// The last step of an extended run's first part has its reading in any case: more target rows may round otherwise.
				...lossOptionsAt(config, step, {
					collapse: step === config.steps || isDue(step, config.collapseEvery, this.steps),
				}),
				interference: latent !== null && latent.interferenceEvery > 0 && step % latent.interferenceEvery === 0,
				...updateOptions(config.optimizer),
				learningRate,
			},
			signal,
		);
		const stepMs = performance.now() - started;
		const tokens = batches.reduce((sum, batch) => sum + batch.tokens.length, 0);
		this.#step = step;
		return {
			kind: 'train',
			step,
			...pickLosses(result),
			learningRate,
			momentum,
			gradientNorm: result.gradientNorm,
			...(result.regulariser === null ? {} : { regulariser: result.regulariser }),
			...(result.interference === null ? {} : { interference: result.interference }),
			tokens,
			tokensPerSecond: tokens / ((stepMs + waitMs) / 1000),
			stepMs,
			waitMs,
			...(checkpointMs === undefined ? {} : { checkpointMs }),
			peakRssBytes: process.resourceUsage().maxRSS * 1024,
			...(result.collapse === null ? {} : { collapse: result.collapse }),
		};
	}

	async #openInstruments(store: TokenStore): Promise<Instruments | undefined> {
		const tokens = readingTokens(this.config);
		return tokens === 0 ? undefined : Instruments.open(store, this.config, this.model, tokens);
	}

	async #tuning(store: TokenStore, signal: AbortSignal | undefined): Promise<TuningMetrics | undefined> {
		// A data set may come without tuning patients; training goes on without this line.
		if (store.manifest.splits.tuning.trainable === 0) return undefined;
		return this.evaluateLosses(store, 'tuning', signal);
	}
}

/** @throws {ConfigError} When a run would not become longer. */
function requireMoreUpdates(run: RunConfig, steps: number): void {
	const updates = updatesOf(run);
	if (Number.isSafeInteger(steps) && steps > updates) return;
	throw new ConfigError(
		`[train] steps must be a whole number above the ${updates} steps of the run to extend it but is ${steps}; give more, or leave it out to finish the run as it is`,
	);
}

/** The model of a run and the updates behind it: its newest whole checkpoint, or its start. */
async function newestState(
	folder: RunFolder,
	onWarning: LongOperation['onWarning'],
	options: RunModelOptions,
): Promise<{ readonly model: WorldModel; readonly step: number }> {
	if (await folder.isUntrained()) return { model: await initialModel(folder.config, options), step: 0 };
	const checkpoint = await folder.newestCheckpoint(onWarning);
	return {
		model: await checkpointModel(folder.config, checkpoint, { ...options, withOptimizer: true }),
		step: checkpoint.step,
	};
}

/** The batches of each step: `microBatches` of them, in the order in which the sampler draws them. */
async function* microBatches(
	store: TokenStore,
	{ first, last }: { readonly first: number; readonly last: number },
	config: TrainConfig,
	signal: AbortSignal | undefined,
): AsyncGenerator<TrainingBatch[]> {
	const each = config.microBatches;
	const options = samplerOptions(config, config.seed);
	let step: TrainingBatch[] = [];
	for await (const batch of prefetchBatches(store, 'train', options, (first - 1) * each + 1, last * each, signal)) {
		step.push(batch);
		if (step.length < each) continue;
		yield step;
		step = [];
	}
}

function isDue(step: number, every: number, last: number): boolean {
	return step === last || (every > 0 && step % every === 0);
}

function pickLosses({ loss, nextTokenLoss, latentLoss }: Losses) {
	return { loss, nextTokenLoss, latentLoss };
}

function progressNote(line: StepMetrics): string {
	const parts = [
		line.nextTokenLoss === null ? undefined : `next-token ${line.nextTokenLoss.toFixed(3)}`,
		line.latentLoss === null ? undefined : `latent ${line.latentLoss.toFixed(3)}`,
		`${Math.round(line.tokensPerSecond)} tokens/s`,
	];
	return parts.filter((part) => part !== undefined).join(', ');
}
