import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { embed, writeEmbeddings } from '../evaluate/embeddings.js';
import { exists } from '../files/whole.js';
import type { Pooling } from '../model/world-model.js';
import type { TokenStore } from '../store/token-store.js';
import { RunFolder } from '../train/run-folder.js';
import type { TrainConfigInput } from '../train/train-config.js';
import { openModel, Trainer } from '../train/trainer.js';
import type { IndexDate, LongOperation } from '../types.js';

/** Whether a run has made its last step. */
export async function isTrained(path: string): Promise<boolean> {
	if (!(await exists(join(path, 'config.json')))) return false;
	const run = await RunFolder.open(path);
	return (await run.checkpoints()).at(-1)?.step === run.config.train.steps;
}

/**
 * Trains a run to its last step: a new one, or one that was interrupted at any moment.
 *
 * @param path - Belongs to this run: what it holds without a configuration is removed.
 * @throws {AbortedError} {CheckpointError} {NativeError} {OutputError}
 */
export async function trainRun(
	path: string,
	store: TokenStore,
	config: TrainConfigInput,
	operation: LongOperation,
): Promise<void> {
	const begun = await exists(join(path, 'config.json'));
	// Killed before it had a configuration, a run leaves a folder that a new one would refuse.
	if (!begun) await rm(path, { recursive: true, force: true });
	await using trainer = begun
		? await Trainer.resume(path, store, operation)
		: await Trainer.create(path, store, config);
	for await (const _ of trainer.run(store, operation));
}

/**
 * Writes the frozen states of a run at index dates, with the context it was trained with.
 *
 * @param weights - `initial` for the encoder that the run started from.
 */
export async function embedRun(
	file: string,
	run: string,
	store: TokenStore,
	indexDates: readonly IndexDate[],
	options: { readonly model: string; readonly pooling: Pooling; readonly weights: 'newest' | 'initial' },
	operation: LongOperation,
): Promise<void> {
	const { model, run: opened } = await openModel(run, { weights: options.weights });
	try {
		const { contextTokens } = opened.config.train;
		const table = await embed(model, store, indexDates, { ...operation, contextTokens, pooling: options.pooling });
		const { withoutTokens, laterRuns } = table.counts;
		if (withoutTokens > 0)
			operation.onWarning?.(`${options.model}: ${withoutTokens} index dates have no token and no state`);
		await writeEmbeddings(file, table, {
			model: options.model,
			pooling: options.pooling,
			context_tokens: String(contextTokens),
			index_dates_without_tokens: String(withoutTokens),
			later_runs_left_out: String(laterRuns),
		});
	} finally {
		await model.close();
	}
}
