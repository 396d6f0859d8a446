import { z } from 'zod';
import { parseConfig, positiveInteger, seed } from '../config.js';
import { DataError } from '../errors.js';
import { RandomStream } from '../random.js';
import type { Vocabulary } from '../tokenizer/vocabulary.js';
import type { TrainingBatch } from '../types.js';
import { BranchOptions } from './branch-options.js';
import { latentBranches, noBranches } from './branches.js';
import { pack } from './packing.js';
import type { StoreSplit } from './token-store.js';
import { type TrainingWindow, trainingWindow } from './window.js';

export const SamplerOptions = z.strictObject({
	contextTokens: positiveInteger,
	futureTokens: positiveInteger,
	tokensPerBatch: positiveInteger,
	seed,
	/** Latent branches; null makes none. */
	branches: BranchOptions.nullable(),
});
export type SamplerOptions = z.infer<typeof SamplerOptions>;

/**
 * Draws training batches: patients in a new random order each epoch, one cut per draw at a day boundary anywhere in the
 * record. A batch is a function of (seed, step) alone, so the step is all the state a resumed run needs.
 */
export class Sampler {
	readonly #split: StoreSplit;
	readonly #vocabulary: Vocabulary;
	readonly #options: SamplerOptions;
	/** Patients that can be cut. */
	readonly #eligible: Int32Array;
	/** Patients of one batch: fixed, so that a batch's patients follow from its step. */
	readonly #patientsPerBatch: number;
	#epoch = -1;
	#order: Int32Array = new Int32Array(0);

	/** @throws {DataError} When no patient has two days. */
	constructor(split: StoreSplit, vocabulary: Vocabulary, options: SamplerOptions) {
		this.#split = split;
		this.#vocabulary = vocabulary;
		this.#options = parseConfig('sampler', SamplerOptions, options);
		this.#eligible = Int32Array.from(split.dayCounts.keys()).filter((i) => split.dayCounts[i]! >= 2);
		if (this.#eligible.length === 0) {
			throw new DataError('sampler', {
				file: `${split.name}.arrow`,
				rule: 'must hold a patient with at least 2 days',
				value: `${split.size} patients without`,
			});
		}
		const window = options.contextTokens + options.futureTokens;
		// Windows are shorter than their budget where records are short: the mean decides how many fill a batch.
		const meanWindow =
			this.#eligible.reduce((sum, i) => sum + Math.min(window, split.tokenCounts[i]! + 3), 0) / this.#eligible.length;
		this.#patientsPerBatch = Math.max(1, Math.round(options.tokensPerBatch / meanWindow));
	}

	/** Patients left out because they have a single day. */
	get excluded(): number {
		return this.#split.size - this.#eligible.length;
	}

	/** @param step - 1 for the first update. */
	async batch(step: number): Promise<TrainingBatch> {
		const { contextTokens, futureTokens, tokensPerBatch, seed } = this.#options;
		const windows: TrainingWindow[] = [];
		const subjects: bigint[] = [];
		let total = 0;
		// A second helping of patients fills what short windows leave open; a window that does not fit is passed over.
		for (let draw = 0; draw < 2 * this.#patientsPerBatch && total < tokensPerBatch; draw++) {
			const patient = this.#patient((step - 1) * 2 * this.#patientsPerBatch + draw);
			const timeline = await this.#split.timeline(patient);
			const random = new RandomStream(seed, 'cut', step, draw);
			const cutDay = 1 + random.integer(timeline.days.length - 1);
			const window = trainingWindow(timeline, this.#vocabulary, cutDay, contextTokens, futureTokens);
			if (total > 0 && total + window.tokens.length > tokensPerBatch) continue;
			windows.push(window);
			subjects.push(timeline.subjectId);
			total += window.tokens.length;
		}
		const packed = pack(windows.map(({ tokens }) => tokens));
		const { branches } = this.#options;
		return {
			...packed,
			branches:
				branches === null
					? noBranches
					: latentBranches(windows, packed, step, { ...branches, seed, maskTokenId: this.#vocabulary.maskTokenId }),
			contextLengths: Int32Array.from(windows, ({ contextLength }) => contextLength),
			subjectIds: BigInt64Array.from(subjects),
		};
	}

	/** Batches of steps `first` to `last`; the next one is read while the current one is used. */
	async *batches(first: number, last: number): AsyncGenerator<TrainingBatch> {
		let next = this.batch(first);
		// A failure surfaces where the batch is awaited, not as an unhandled rejection.
		next.catch(() => {});
		for (let step = first; step <= last; step++) {
			const batch = await next;
			if (step < last) {
				next = this.batch(step + 1);
				next.catch(() => {});
			}
			yield batch;
		}
	}

	#patient(draw: number): number {
		const epoch = Math.floor(draw / this.#eligible.length);
		if (epoch !== this.#epoch) {
			this.#order = new RandomStream(this.#options.seed, 'epoch', epoch).shuffle(this.#eligible.slice());
			this.#epoch = epoch;
		}
		return this.#order[draw % this.#eligible.length]!;
	}
}
