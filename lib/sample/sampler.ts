import { LRUCache } from 'lru-cache';
import { z } from 'zod';
import { nonNegativeInteger, parseConfig, positiveInteger, seed } from '../config.js';
import { DataError } from '../errors.js';
import type { TokenStore } from '../store/token-store.js';
import type { Split, TrainingBatch } from '../types.js';
import { BranchOptions } from './branch-options.js';
import { latentBranches, noBranches } from './branches.js';
import { pack } from './packing.js';
import { PatientOrder } from './patient-order.js';
import { drawPool, type PatientSource, type PoolOptions, turnsPerPool, type WindowPool } from './window-pool.js';

export const SamplerOptions = z
	.strictObject({
		contextTokens: positiveInteger,
		futureTokens: positiveInteger,
		/** At least 3: two tokens of context and one of future. */
		tokensPerBatch: z.int().min(3),
		seed,
		/** Latent branches; null makes none. */
		branches: BranchOptions.nullable(),
		/** Which of `worldSize` processes this one is: they share one order of patients, and no patient of an epoch is drawn by two. */
		rank: nonNegativeInteger.default(0),
		worldSize: positiveInteger.default(1),
		/** Batches that are packed together: more leave fewer gaps and take longer before the first. */
		poolBatches: positiveInteger.max(4096).default(64),
	})
	.refine(({ rank, worldSize }) => rank < worldSize, { path: ['rank'], message: 'must be below worldSize' });
export type SamplerOptions = z.input<typeof SamplerOptions>;

/** What a sampler needs of a token store. */
export interface SampledStore {
	readonly manifest: {
		readonly splits: Readonly<Record<Split, { readonly patients: number; readonly trainable: number }>>;
	};
	readonly vocabulary: TokenStore['vocabulary'];
	split(name: Split): PatientSource;
}

/**
 * Draws training batches: patients in a new random order each epoch, one window per draw, cut at a day boundary anywhere in
 * the record, packed to nearly full batches. A batch is a function of (seed, step, rank, worldSize) alone, so the step is all
 * the state a resumed run needs; memory does not grow with the cohort.
 */
export class Sampler {
	/** Patients left out because they have a single day. */
	readonly excluded: number;
	readonly #source: PatientSource;
	readonly #vocabulary: TokenStore['vocabulary'];
	readonly #options: z.output<typeof SamplerOptions>;
	readonly #pool: PoolOptions;
	readonly #order: PatientOrder;
	#turns: Promise<number> | undefined;
	/** The one in use and the next. */
	readonly #held = new LRUCache<number, Promise<WindowPool>>({ max: 2 });

	/** @throws {DataError} When no patient of the split has two days; {ConfigError}. */
	constructor(store: SampledStore, split: Split, options: SamplerOptions) {
		this.#options = parseConfig('sampler', SamplerOptions, options);
		this.#source = store.split(split);
		this.#vocabulary = store.vocabulary;
		const { patients, trainable } = store.manifest.splits[split];
		if (trainable === 0) {
			throw new DataError('sampler', {
				file: `${split} split`,
				rule: 'must hold a patient with at least 2 days',
				value: `${patients} patients without`,
			});
		}
		this.excluded = patients - trainable;
		const { contextTokens, futureTokens, tokensPerBatch, seed, poolBatches } = this.#options;
		this.#pool = { contextTokens, futureTokens, tokensPerBatch, seed, batches: poolBatches };
		this.#order = new PatientOrder(seed, this.#source.size);
	}

	/** Batches from step 1 on that take no patient of another pool: with pools of one batch, no patient is in two batches. */
	async batchesPerEpoch(): Promise<number> {
		const { poolBatches, worldSize } = this.#options;
		return Math.floor(this.#source.size / (worldSize * (await this.#turnsOfPool()))) * poolBatches;
	}

	/** @param step - 1 for the first update. */
	async batch(step: number): Promise<TrainingBatch> {
		const { seed, branches, poolBatches, rank, worldSize } = this.#options;
		const { batches } = await this.pool(Math.floor((step - 1) / poolBatches));
		const windows = batches[(step - 1) % poolBatches]!;
		if (windows.length === 0) {
			throw new DataError('sampler', {
				file: 'the split',
				rule: 'must fill every batch',
				value: `nothing for step ${step}`,
			});
		}
		const packed = pack(windows.map(({ tokens }) => tokens));
		const { maskTokenId } = this.#vocabulary;
		return {
			...packed,
			branches:
				branches === null
					? noBranches
					: // Ranks have cuts and masks of their own.
						latentBranches(windows, packed, (step - 1) * worldSize + rank + 1, { ...branches, seed, maskTokenId }),
			contextLengths: Int32Array.from(windows, ({ contextLength }) => contextLength),
			subjectIds: BigInt64Array.from(windows, ({ subjectId }) => subjectId),
		};
	}

	/** Batches of steps `first` to `last`; what comes next is read while the current one is used. */
	async *batches(first: number, last: number): AsyncGenerator<TrainingBatch> {
		const { poolBatches } = this.#options;
		for (let step = first; step <= last; step++) {
			const batch = await this.batch(step);
			const pool = Math.floor((step - 1) / poolBatches);
			if ((pool + 1) * poolBatches < last) void this.pool(pool + 1).catch(() => {}); // reported where it is awaited
			yield batch;
		}
	}

	/** The windows of steps `number` x poolBatches + 1 and on, packed together. @param number - From 0. */
	pool(number: number): Promise<WindowPool> {
		const held = this.#held.get(number);
		if (held !== undefined) return held;
		const made = this.#draw(number);
		this.#held.set(number, made);
		// A failure is not kept: a file may be back the next time.
		made.catch(() => this.#held.delete(number));
		return made;
	}

	async #draw(number: number): Promise<WindowPool> {
		const { rank, worldSize } = this.#options;
		const count = await this.#turnsOfPool();
		const stream = number * worldSize + rank;
		return drawPool(this.#source, this.#vocabulary, this.#order, this.#pool, stream + 1, {
			first: stream * count,
			count,
		});
	}

	#turnsOfPool(): Promise<number> {
		this.#turns ??= turnsPerPool(this.#source, this.#vocabulary, this.#order, this.#pool);
		this.#turns.catch(() => {
			this.#turns = undefined;
		});
		return this.#turns;
	}
}
