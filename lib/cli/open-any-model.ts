import { join } from 'node:path';
import { ConfigError, DataError } from '../errors.js';
import { exists } from '../files/exists.js';
import { readJson } from '../files/json.js';
import { adapterConfigName } from '../model/adapter-config.js';
import { type FromPretrainedOptions, WorldModel } from '../model/world-model.js';
import { openModel, type RunWeights } from '../train/open-model.js';
import type { RunConfig } from '../train/run-config.js';

export interface OpenedModel {
	readonly model: WorldModel;
	/** The run it comes from; undefined for a HuggingFace folder. */
	readonly run: RunConfig | undefined;
	/** Updates made; undefined for a HuggingFace folder. */
	readonly step: number | undefined;
	/** One line for people. */
	readonly description: string;
}

/** What kind of folder holds a `config.json`, or the `adapter_config.json` of an adapter. */
export async function modelFolderKind(path: string): Promise<'run' | 'huggingface' | 'adapter' | undefined> {
	const file = join(path, 'config.json');
	if (!(await exists(file))) return (await exists(join(path, adapterConfigName))) ? 'adapter' : undefined;
	// A file that is not JSON is reported where the model is read.
	const config = (await readJson(file, { scope: 'model' }).catch(() => null)) as { readonly format?: unknown } | null;
	return config?.format === 'ehr-jepa/run' ? 'run' : 'huggingface';
}

/**
 * A frozen model from a run folder or a HuggingFace folder.
 *
 * @param options - `weights` of a run; the rest is of a HuggingFace folder.
 * @throws {DataError} When the folder is neither; {CheckpointError} when it is damaged.
 */
export async function openAnyModel(
	path: string,
	{ weights, ...options }: FromPretrainedOptions & { readonly weights?: RunWeights | undefined } = {},
): Promise<OpenedModel> {
	const kind = await modelFolderKind(path);
	if (kind === undefined) {
		throw new DataError('model', {
			file: path,
			rule: 'must be a run folder or a HuggingFace folder with config.json',
			fix: 'give the folder that train, export or transformers wrote',
		});
	}
	if (kind === 'run') {
		const { model, run, step } = await openModel(path, { device: options.device, weights });
		return { model, run: run.config, step, description: `${path}, step ${step}` };
	}
	if (weights !== undefined) {
		throw new ConfigError(
			`[model] --checkpoint belongs to a run folder but ${path} is a HuggingFace folder, which has one set of weights; leave it out`,
		);
	}
	return { model: await WorldModel.fromPretrained(path, options), run: undefined, step: undefined, description: path };
}
