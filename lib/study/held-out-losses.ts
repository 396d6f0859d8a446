import { z } from 'zod';
import { parseConfig } from '../config.js';
import { writeWhole } from '../files/whole.js';
import { predictionCount } from '../sample/branches.js';
import { Sampler } from '../sample/sampler.js';
import type { TokenStore } from '../store/token-store.js';
import { lossOptionsAt, samplerOptions } from '../train/loss-options.js';
import { CollapseMonitors } from '../train/metrics.js';
import { openModel } from '../train/trainer.js';
import { readJson } from './readings.js';

/** Losses of one trained model on batches of held-out patients; no patient is in two of them. */
export const HeldOutLosses = z.strictObject({
	format: z.literal('ehr-jepa/study-losses'),
	version: z.literal(1),
	batches: z.array(
		z.strictObject({
			patients: z.int(),
			/** Labels that carried next-token loss. */
			scoredTokens: z.int(),
			/** Null without this objective. */
			nextTokenLoss: z.number().nullable(),
			/** Positions whose latent state was predicted. */
			predictions: z.int(),
			latentLoss: z.number().nullable(),
			collapse: CollapseMonitors.nullable(),
		}),
	),
});
export type HeldOutLosses = z.infer<typeof HeldOutLosses>;

/**
 * Reads both losses and the collapse monitors of a run's newest weights and writes them.
 *
 * @param seed - Draws windows and masks: the same for every run, so that losses are paired.
 */
export async function writeHeldOutLosses(
	file: string,
	run: string,
	store: TokenStore,
	seed: number,
	signal?: AbortSignal,
): Promise<void> {
	const { model, run: opened } = await openModel(run);
	try {
		const { train } = opened.config;
		const sampler = new Sampler(store, 'held_out', { ...samplerOptions(train, seed), poolBatches: 1 });
		const options = lossOptionsAt(train, train.steps, { collapse: true, interference: false });
		const batches: HeldOutLosses['batches'] = [];
		for await (const batch of sampler.batches(1, Math.max(1, await sampler.batchesPerEpoch()))) {
			const losses = await model.losses(batch, options, signal);
			batches.push({
				patients: new Set(batch.subjectIds).size,
				scoredTokens: losses.nextTokenLoss === null ? 0 : losses.scoredTokens,
				nextTokenLoss: losses.nextTokenLoss,
				predictions: losses.latentLoss === null ? 0 : predictionCount(batch.branches),
				latentLoss: losses.latentLoss,
				collapse: losses.collapse ?? null,
			});
		}
		const content: HeldOutLosses = { format: 'ehr-jepa/study-losses', version: 1, batches };
		await writeWhole(file, `${JSON.stringify(content, undefined, '\t')}\n`);
	} finally {
		await model.close();
	}
}

/** @throws {DataError} {ConfigError} */
export async function readHeldOutLosses(file: string): Promise<HeldOutLosses> {
	return parseConfig(`study ${file}`, HeldOutLosses, await readJson(file));
}
