import { CheckpointError } from '../errors.js';
import type { WorldModel } from '../model/world-model.js';
import type { TokenStore } from '../store/token-store.js';
import { checkpointModel, initialModel, type RunModelOptions } from './initial-model.js';
import type { RunConfig } from './run-config.js';
import { RunFolder } from './run-folder.js';

/** Which weights of a run: of its newest whole checkpoint, those it started from, or of the checkpoint of a step. */
export type RunWeights = 'newest' | 'initial' | number;

/**
 * The frozen model of a run: by default of its newest whole checkpoint; `weights: "initial"` is the untrained baseline.
 *
 * @throws {CheckpointError} When there is no such checkpoint, or it is damaged.
 */
export async function openModel(
	path: string,
	options: RunModelOptions & { readonly weights?: RunWeights | undefined } = {},
): Promise<{ readonly model: WorldModel; readonly run: RunFolder; readonly step: number }> {
	const run = await RunFolder.open(path);
	const { weights = 'newest' } = options;
	if (weights === 'initial') return { model: await initialModel(run.config, options), run, step: 0 };
	const checkpoint = weights === 'newest' ? await run.newestCheckpoint() : await run.wholeCheckpoint(weights);
	const model = await checkpointModel(run.config, checkpoint, { ...options, withOptimizer: false });
	return { model, run, step: checkpoint.step };
}

/** @throws {CheckpointError} When a run and a store do not belong together. */
export function requireSameData(run: RunConfig, store: TokenStore, what: 'store' | 'vocabulary' = 'store'): void {
	const found = what === 'store' ? store.manifest.fingerprint : store.vocabulary.fingerprint;
	if (found !== run.data[what]) {
		throw new CheckpointError(
			`[run] the ${what} must be the one the run was made with (${run.data[what].slice(0, 12)}) but is ${found.slice(0, 12)} (${store.directory}); give the store of the run`,
		);
	}
}

/** @throws {CheckpointError} When held-out subjects of a store were among those that a run was trained on. */
export function requireSameSplits(run: RunConfig, { manifest, directory }: TokenStore): void {
	const { dataset, splits } = run.data;
	if (dataset !== manifest.dataset.fingerprint || splits === manifest.splitting.fingerprint) return;
	throw new CheckpointError(
		`[run] the splits must be those that the run was trained with (${splits?.slice(0, 12)}), or held-out subjects were trained on, but are ${manifest.splitting.fingerprint.slice(0, 12)} (${directory}); embed with the store of the run, or train again`,
	);
}
