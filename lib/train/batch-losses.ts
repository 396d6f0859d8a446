import type { WorldModel } from '../model/world-model.js';
import type { CollapseMonitors } from '../objective/collapse-monitors.js';
import { predictionCount } from '../sample/branches.js';
import { Sampler } from '../sample/sampler.js';
import type { TokenStore } from '../store/token-store.js';
import type { Split } from '../types.js';
import { lossOptionsAt, samplerOptions } from './loss-options.js';
import type { TuningMetrics } from './metrics.js';
import type { TrainConfig } from './train-config.js';

/** Losses of one batch without an update. */
export interface BatchLosses {
	/** Trunk tokens. */
	readonly tokens: number;
	readonly patients: number;
	/** Labels that carried next-token loss; 0 without this objective. */
	readonly scoredTokens: number;
	readonly nextTokenLoss: number | null;
	/** Positions whose latent state was predicted; 0 without this objective. */
	readonly predictions: number;
	readonly latentLoss: number | null;
	readonly collapse: CollapseMonitors | null;
}

export interface BatchLossesOptions {
	readonly split: Split;
	/** Draws windows and masks: the same for two models makes their losses paired. */
	readonly seed: number;
	/** Step whose loss weights hold. */
	readonly step: number;
	/** A number of batches from the start of the split, or every patient once, none in two batches. */
	readonly batches: number | 'epoch';
	/** One of so many processes that share the batches: batch i is of process i modulo `of`. Absent: all of them. */
	readonly share?: { readonly index: number; readonly of: number } | undefined;
	readonly signal?: AbortSignal | undefined;
}

/** Both losses and the collapse monitors on fixed batches of a split. */
export async function* batchLosses(
	model: WorldModel,
	store: TokenStore,
	config: TrainConfig,
	{ split, seed, step, batches, share = { index: 0, of: 1 }, signal }: BatchLossesOptions,
): AsyncGenerator<BatchLosses> {
	const poolBatches = batches === 'epoch' ? 1 : batches;
	const sampler = new Sampler(store, split, { ...samplerOptions(config, seed), poolBatches });
	const last = batches === 'epoch' ? Math.max(1, await sampler.batchesPerEpoch()) : batches;
	const options = lossOptionsAt(config, step, { collapse: true });
	let number = 0;
	for await (const batch of sampler.batches(1, last)) {
		if (number++ % share.of !== share.index) continue;
		const { nextTokenLoss, latentLoss, scoredTokens, collapse } = await model.losses(batch, options, signal);
		yield {
			tokens: batch.tokens.length,
			patients: new Set(batch.subjectIds).size,
			scoredTokens: nextTokenLoss === null ? 0 : scoredTokens,
			nextTokenLoss,
			predictions: latentLoss === null ? 0 : predictionCount(batch.branches),
			latentLoss,
			collapse,
		};
	}
}

/** Means over batches: each weighted with its scored tokens or its predictions. */
export async function meanLosses(
	batches: AsyncIterable<BatchLosses> | Iterable<BatchLosses>,
): Promise<Pick<TuningMetrics, 'nextTokenLoss' | 'latentLoss' | 'tokens' | 'collapse'>> {
	let tokens = 0;
	const next = new WeightedMean();
	const latent = new WeightedMean();
	const monitors = new Map<string, WeightedMean>();
	for await (const batch of batches) {
		tokens += batch.tokens;
		next.add(batch.nextTokenLoss, batch.scoredTokens);
		latent.add(batch.latentLoss, batch.predictions);
		for (const [name, value] of Object.entries(batch.collapse ?? {})) {
			const mean = monitors.get(name) ?? new WeightedMean();
			mean.add(value, batch.predictions);
			monitors.set(name, mean);
		}
	}
	const collapse = Object.fromEntries([...monitors].map(([name, mean]) => [name, mean.value]));
	return {
		nextTokenLoss: next.value,
		latentLoss: latent.value,
		tokens,
		...(monitors.size === 0 ? {} : { collapse: collapse as CollapseMonitors }),
	};
}

class WeightedMean {
	#sum = 0;
	#weight = 0;
	add(value: number | null, weight: number): void {
		if (value === null) return;
		this.#sum += value * weight;
		this.#weight += weight;
	}
	get value(): number | null {
		return this.#weight === 0 ? null : this.#sum / this.#weight;
	}
}
