import { join } from 'node:path';
import { exists } from '../files/exists.js';
import type { OnDevice } from '../model/device.js';
import type { TokenStore } from '../store/token-store.js';
import { updatesOf } from '../train/run-config.js';
import { RunFolder } from '../train/run-folder.js';
import type { TrainConfigInput } from '../train/train-config.js';
import { Trainer } from '../train/trainer.js';
import type { LongOperation } from '../types.js';

/** Whether a run has made its last step. */
export async function isTrained(path: string): Promise<boolean> {
	if (!(await exists(join(path, 'config.json')))) return false;
	const run = await RunFolder.open(path);
	return (await run.checkpoints()).at(-1)?.step === updatesOf(run.config);
}

/**
 * Trains a run to its last step: a new one, or one that was interrupted at any moment.
 *
 * @param path - Belongs to this run.
 * @throws {AbortedError} {CheckpointError} {NativeError} {OutputError}
 */
export async function trainRun(
	path: string,
	store: TokenStore,
	config: TrainConfigInput,
	operation: LongOperation & OnDevice,
): Promise<void> {
	const begun = await exists(join(path, 'config.json'));
	await using trainer = begun
		? await Trainer.resume(path, store, operation)
		: await Trainer.create(path, store, config, { device: operation.device });
	for await (const _ of trainer.run(store, operation));
}
