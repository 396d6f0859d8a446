import { AbortedError } from '../errors.js';
import { requirePath } from '../files/path.js';
import { deviceOfRank } from '../model/device.js';
import type { Losses, WorldModel } from '../model/world-model.js';
import { weightsAt } from '../objective/objective.js';
import type { ProcessGroup } from '../ranks/process-group.js';
import { prefetchBatches } from '../sample/prefetch.js';
import type { TokenStore } from '../store/token-store.js';
import type { LongOperation, Split, TrainingBatch } from '../types.js';
import { type BatchLosses, batchLosses, meanLosses } from './batch-losses.js';
import { CheckpointWriter } from './checkpoint-writer.js';
import { CollapseWatch } from './collapse-warning.js';
import { requireMemory } from './fit.js';
import { largestFutureShare } from './future-share.js';
import { initialModel, planRun, type RunModelOptions } from './initial-model.js';
import { Instruments } from './instruments/instruments.js';
import type { InstrumentMetrics } from './instruments/metrics.js';
import { isReadingDue, readingTokens } from './instruments/options.js';
import { withNext } from './look-ahead.js';
import { lossOptionsAt, samplerOptions, updateOptions } from './loss-options.js';
import type { StepMetrics, TuningMetrics } from './metrics.js';
import { requireSameData } from './open-model.js';
import { explainOutOfMemory } from './out-of-memory.js';
import type { ParallelOptions } from './parallel-options.js';
import { RunConfig, updatesOf, wentOnWith } from './run-config.js';
import { RunFolder } from './run-folder.js';
import { RunShare, telling } from './run-share.js';
import { newestState, requireMoreUpdates, requireSameRun } from './run-start.js';
import { learningRateAt } from './schedule.js';
import type { TrainConfig, TrainConfigInput } from './train-config.js';

// The tuning batches differ from every training batch although both come from the run's seed.
const tuningSeedOffset = 1_000_003;

/** How a run is computed, which changes nothing of its results. */
export interface TrainerOptions extends Pick<RunModelOptions, 'device' | 'group'> {
	/** As `StepOptions.forbidWaits`, from the second step that this process makes. */
	readonly forbidWaits?: boolean | undefined;
}

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
	readonly #share: RunShare;
	readonly #forbidWaits: boolean;
	#hasStepped = false;
	#step: number;
	#lastTuning: TuningMetrics | undefined;
	#lastInstruments: InstrumentMetrics | undefined;

	private constructor(folder: RunFolder, model: WorldModel, step: number, share: RunShare, forbidWaits = false) {
		this.folder = folder;
		this.model = model;
		this.#step = step;
		this.#share = share;
		this.#forbidWaits = forbidWaits;
	}

	/**
	 * Starts a run, with random weights or from `config.initialWeights`. One that this machine's memory cannot hold is refused
	 * before anything is allocated.
	 *
	 * @param path - New or empty run folder.
	 * @param options.group - Processes that train it together: each makes this call, rank 0 writes the folder.
	 * @throws {RankError} When ranks have other options, data, versions or devices: names the rank and the field.
	 * @throws {ConfigError} {CheckpointError} {VocabularyError} {OutputError} {NativeError} {SetupError} {DeviceError}
	 */
	static async create(
		path: string,
		store: TokenStore,
		config: TrainConfigInput = {},
		{ device: asked, group, forbidWaits }: TrainerOptions = {},
	): Promise<Trainer> {
		requirePath('train', 'run', path);
		return telling(group, async () => {
			const device = deviceOfRank(asked ?? 'auto', group);
			// As it is read back: whether a run was ever stopped cannot be seen from the order of its files' keys.
			const run = RunConfig.parse(await planRun(store, config));
			const share = new RunShare(run.train, group);
			await requireSameRun(group, path, run, device);
			const { tokensPerStep } = run.train;
			const part = { ...run.train, tokensPerStep: Math.ceil(tokensPerStep / share.shards.total) };
			const futureShare = await largestFutureShare(store, part, share.shards.total);
			requireMemory(part, run.data.vocabSize, { ranks: group?.size, futureShare });
			const model = await initialModel(run, { device, group });
			try {
				const folder = share.leads ? await RunFolder.create(path, run) : RunFolder.followed(path, run);
				return new Trainer(folder, model, 0, share, forbidWaits);
			} catch (cause) {
				await model.close();
				throw cause;
			}
		});
	}

	/**
	 * Continues a run from its newest whole checkpoint; a newer one that is damaged is passed over with a warning. A run that
	 * was interrupted before its first starts again: all of it follows from the seed.
	 *
	 * @param options.group - Processes that train it together, as many as one likes: rank 0 says from which checkpoint all go on.
	 * @param options.steps - Extends the run to so many updates in all. Those beyond `config.steps` have the learning rate,
	 * weights and momentum with which the schedules end.
	 * @param options.kind - What each rank keeps from now on (`parallel.kind`): the results are the same to the bit.
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
			kind,
			device: asked,
			group,
			forbidWaits,
		}: Pick<LongOperation, 'onWarning'> &
			TrainerOptions & {
				readonly steps?: number | undefined;
				readonly kind?: ParallelOptions['kind'] | undefined;
			} = {},
	): Promise<Trainer> {
		return telling(group, async () => {
			const device = deviceOfRank(asked ?? 'auto', group);
			const found =
				group === undefined || group.rank === 0 ? await RunFolder.openToWrite(path) : await RunFolder.open(path);
			try {
				requireSameData(found.config, store);
				// A launcher that starts all ranks again gives them what was done the first time.
				const isDone = group !== undefined && group.attempt > 0 && steps === found.config.extendedTo;
				if (steps !== undefined && !isDone) requireMoreUpdates(found.config, steps);
				const goesOn = wentOnWith(found.config, steps, kind);
				const share = new RunShare(goesOn.train, group);
				await requireSameRun(group, path, goesOn, device);
				const folder = found.goOnWith(goesOn);
				const { model, step } = await newestState(folder, onWarning, { device }, group);
				try {
					if (goesOn !== found.config) await folder.record();
					return new Trainer(folder, model, step, share, forbidWaits);
				} catch (cause) {
					await model.close();
					throw cause;
				}
			} catch (cause) {
				found.release();
				throw cause;
			}
		});
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
	 * checkpoint of the last whole step, so that the run can be resumed. Ranks that each keep a part of the state save it when all
	 * are stopped by their signals; after a failure, or a break, the newest checkpoint is the last one.
	 *
	 * @throws {AbortedError} {NativeError} {OutputError} {CheckpointError}
	 * @throws {OutOfMemoryError} When a card has too little memory: says what takes it and which options lower it.
	 * @throws {RankError} When another rank fails, dies or falls silent; rank 0 has then saved the last whole step.
	 */
	async *run(store: TokenStore, operation: LongOperation = {}): AsyncGenerator<StepMetrics> {
		const { group } = this.#share;
		if (group === undefined) {
			yield* this.#run(store, operation);
			return;
		}
		let ended = false;
		try {
			await group.requireSame({ step: this.#step });
			const signals = operation.signal === undefined ? [group.signal] : [group.signal, operation.signal];
			yield* this.#run(store, { ...operation, signal: AbortSignal.any(signals) });
			ended = true;
		} catch (cause) {
			ended = true;
			throw this.#share.failed(cause);
		} finally {
			// Left in the middle, by a caller that wants no more steps.
			if (!ended) group.fail('was stopped');
		}
	}

	async *#run(store: TokenStore, operation: LongOperation): AsyncGenerator<StepMetrics> {
		requireSameData(this.folder.config, store);
		const { config, steps } = this;
		const { leads, spreads, sharesEncoder, group } = this.#share;
		// What a caller stops ends between two steps there, on all ranks: none has all of the state to save.
		const signal = spreads ? group?.signal : operation.signal;
		const { writer: metrics, kept } = leads
			? await this.folder.openMetrics(this.#step)
			: { writer: undefined, kept: [] };
		const writer = new CheckpointWriter(this.folder, this.model, this.#share, operation.onWarning ?? (() => {}));
		const watch = new CollapseWatch(operation.onWarning ?? (() => {}));
		for (const line of kept) if (line.kind === 'train' && line.collapse !== undefined) watch.recall(line.collapse);
		const instruments = leads ? await this.#openInstruments(store) : undefined;
		const gathers = sharesEncoder && readingTokens(config) > 0;
		const readHere = async () => {
			if (instruments === undefined) return;
			this.#lastInstruments = await instruments.read(this.model, this.#step, signal);
			await metrics?.write(this.#lastInstruments);
		};
		const read = () => (gathers ? this.model.withWholeModel(signal, readHere) : readHere());
		let savedAt = this.#step;
		const save = async () => {
			if (!(leads || spreads) || savedAt === this.#step) return undefined;
			savedAt = this.#step;
			return writer.save(this.#step);
		};
		let checkpointMs: number | undefined;
		let whole = false;
		let isTogether = !spreads;
		try {
			const isUnread = this.#step === 0 && !kept.some(({ kind }) => kind === 'instruments');
			// Rank 0 alone knows what was read.
			if (gathers ? await group!.fromFirst(async () => isUnread) : isUnread) await read();
			let waiting = performance.now();
			const batchesOfSteps = microBatches(store, { first: this.#step + 1, last: steps }, config, signal);
			// A device is given the next step's batches while it computes this one.
			const ahead = this.model.device !== 'cpu';
			for await (const { item: batches, next } of withNext(batchesOfSteps, ahead)) {
				const stops = operation.signal?.aborted ?? false;
				if (spreads ? (await group!.exchange(stops)).includes(true) : stops) {
					isTogether = true;
					throw new AbortedError('[train] aborted', { cause: operation.signal?.reason });
				}
				const waitMs = performance.now() - waiting;
				const line = await this.#trainStep(batches, next ?? [], waitMs, checkpointMs, signal);
				checkpointMs = undefined;
				await metrics?.write(line);
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
					this.#lastTuning = await this.#tuning(store, signal);
					if (this.#lastTuning !== undefined) await metrics?.write(this.#lastTuning);
				}
				if (isReadingDue(config, this.#step, steps)) await read();
				if (isDue(this.#step, config.checkpointEvery, steps)) checkpointMs = await save();
				waiting = performance.now();
			}
			whole = true;
			isTogether = true;
		} finally {
			await metrics?.close();
			const saved = (isTogether ? save() : Promise.resolve()).then(() => writer.finish());
			// After a failure the first error counts, not a failure to save.
			if (whole) await saved;
			else await saved.catch(() => {});
		}
	}

	/** Mean losses over `config.tuningBatches` fixed batches of a split. */
	async evaluateLosses(store: TokenStore, split: Split, signal?: AbortSignal): Promise<TuningMetrics> {
		const { config } = this;
		const batches = batchLosses(this.model, store, config, { ...this.#lossesOptions(split), signal });
		return { kind: 'tuning', step: this.#step, ...(await meanLosses(batches)) };
	}

	#lossesOptions(split: Split) {
		const { seed, tuningBatches } = this.config;
		return { split, seed: seed + tuningSeedOffset, step: Math.max(1, this.#step), batches: tuningBatches };
	}

	/** The same of all ranks, which share the batches. */
	async #lossesOfRanks(
		store: TokenStore,
		group: ProcessGroup,
		signal: AbortSignal | undefined,
	): Promise<TuningMetrics> {
		const share = { index: group.rank, of: group.size };
		const options = { ...this.#lossesOptions('tuning'), share, signal };
		const own: BatchLosses[] = [];
		const read = async () => {
			for await (const losses of batchLosses(this.model, store, this.config, options)) own.push(losses);
		};
		const { spreads, sharesEncoder } = this.#share;
		if (sharesEncoder || (spreads && this.config.objective.latent !== null))
			await this.model.withWholeModel(signal, read);
		else await read();
		const ofRanks = await group.exchange(own, signal);
		// In the order of the batches: the same sums for any number of ranks.
		const batches = Array.from(
			{ length: ofRanks.reduce((sum, { length }) => sum + length, 0) },
			(_, i) => ofRanks[i % group.size]![Math.floor(i / group.size)]!,
		);
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
		next: readonly TrainingBatch[],
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
		const result = await this.#explained(step, () =>
			this.model.step(
				this.#share.partsOf(batches),
				{
					// The last step of an extended run's first part has its reading in any case: more target rows may round otherwise.
					...lossOptionsAt(config, step, {
						collapse: step === config.steps || isDue(step, config.collapseEvery, this.steps),
					}),
					interference: latent !== null && latent.interferenceEvery > 0 && step % latent.interferenceEvery === 0,
					...updateOptions(config.optimizer),
					learningRate,
					collectives: config.parallel.collectives,
					// Ways of attention are timed in the first.
					forbidWaits: this.#forbidWaits && this.#hasStepped,
					shards: this.#share.shards,
				},
				signal,
				this.#share.partsOf(next),
			),
		);
		const stepMs = performance.now() - started;
		this.#hasStepped = true;
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

	/** Memory that runs out in a step is told by kind. */
	async #explained<T>(step: number, run: () => Promise<T>): Promise<T> {
		try {
			return await run();
		} catch (cause) {
			const { config } = this;
			const part = { ...config, tokensPerStep: Math.ceil(config.tokensPerStep / this.#share.shards.total) };
			const { vocabSize } = this.folder.config.data;
			const ranks = this.#share.group?.size ?? 1;
			throw explainOutOfMemory(cause, this.model.device, part, { vocabSize, ranks, step });
		}
	}

	async #openInstruments(store: TokenStore): Promise<Instruments | undefined> {
		const tokens = readingTokens(this.config);
		return tokens === 0 ? undefined : Instruments.open(store, this.config, this.model, tokens);
	}

	async #tuning(store: TokenStore, signal: AbortSignal | undefined): Promise<TuningMetrics | undefined> {
		// A data set may come without tuning patients; training goes on without this line.
		if (store.manifest.splits.tuning.trainable === 0) return undefined;
		const { group } = this.#share;
		return group === undefined
			? this.evaluateLosses(store, 'tuning', signal)
			: this.#lossesOfRanks(store, group, signal);
	}
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
