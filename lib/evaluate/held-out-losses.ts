import { z } from 'zod';
import { writeWhole } from '../files/whole.js';
import type { OnDevice } from '../model/device.js';
import { CollapseMonitors } from '../objective/collapse-monitors.js';
import type { TokenStore } from '../store/token-store.js';
import { batchLosses } from '../train/batch-losses.js';
import { openModel } from '../train/open-model.js';

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
	{ signal, device }: OnDevice & { readonly signal?: AbortSignal | undefined } = {},
): Promise<void> {
	const { model, run: opened } = await openModel(run, { device });
	try {
		const { train } = opened.config;
		const batches: HeldOutLosses['batches'] = [];
		for await (const { tokens: _, ...losses } of batchLosses(model, store, train, {
			split: 'held_out',
			seed,
			step: train.steps,
			batches: 'epoch',
			signal,
		}))
			batches.push(losses);
		const content: HeldOutLosses = { format: 'ehr-jepa/study-losses', version: 1, batches };
		await writeWhole(file, `${JSON.stringify(content, undefined, '\t')}\n`);
	} finally {
		await model.close();
	}
}
