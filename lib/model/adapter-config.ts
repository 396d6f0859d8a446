import { basename, dirname, join } from 'node:path';
import { z } from 'zod';
import { float32Number, ruleOf } from '../config.js';
import { CheckpointError } from '../errors.js';
import { exists } from '../files/exists.js';
import { readJson } from '../files/json.js';
import { shown } from '../found.js';
import { type LoraOptions, linearMaps } from './lora.js';

export const adapterConfigName = 'adapter_config.json';
export const adapterWeightsName = 'adapter_model.safetensors';

/** What an `adapter_config.json` of `peft` says of a LoRA adapter that this package computes. */
export interface AdapterConfig {
	/** The same mathematics in the options of this package: the adapter's weight is alpha / rank. */
	readonly lora: Pick<LoraOptions, 'rank' | 'alpha' | 'targets'>;
	/** Folder or hub name of the model it was trained over. */
	readonly base: string | undefined;
}

const count = z.int().positive();
const Adapter = z.looseObject({
	peft_type: z.string(),
	base_model_name_or_path: z.string().nullish(),
	r: count,
	lora_alpha: float32Number.positive(),
	target_modules: z.union([z.string(), z.array(z.string())]).nullish(),
	bias: z.string().default('none'),
	use_rslora: z.boolean().default(false),
	init_lora_weights: z.union([z.boolean(), z.string()]).nullish(),
});

/** Keys that change nothing of what a trained adapter computes; `Adapter` has the others that are understood. */
const bookkeeping = new Set([
	...['auto_mapping', 'peft_version', 'revision', 'task_type', 'inference_mode', 'lora_dropout'],
	...['megatron_core', 'runtime_config', 'qalora_group_size', 'ensure_weight_tying'],
]);
/** Initialisations of A and B alone; the others change the weights of the base when the adapter is opened. */
const plainInitialisations = new Set<unknown>([undefined, null, true, false, 'gaussian', 'orthogonal']);

/**
 * Reads and checks an `adapter_config.json`. What would make it another model than alpha / rank B A over whole maps is
 * refused by name, as is a key that this package does not know and that is set.
 *
 * @throws {CheckpointError} Names file, key, rule and value.
 * @see peft `LoraConfig`
 */
export async function readAdapterConfig(file: string): Promise<AdapterConfig> {
	const refuse = (key: string, rule: string, found: unknown): never => {
		throw new CheckpointError(
			`[adapter] ${file}: ${key} ${rule} but is ${shown(found)}; merge the adapter with peft (merge_and_unload) and use the merged model`,
		);
	};
	const json = await readJson(file, { scope: 'adapter', error: CheckpointError });
	const parsed = Adapter.safeParse(json, { reportInput: true });
	if (!parsed.success) {
		const issue = parsed.error.issues[0]!;
		return refuse(issue.path.join('.') || 'the file', `${ruleOf(issue)}, as in a LoRA adapter,`, issue.input);
	}
	const adapter = parsed.data;
	if (adapter.peft_type !== 'LORA') refuse('peft_type', 'must be LORA', adapter.peft_type);
	if (adapter.bias !== 'none') refuse('bias', 'must be none', adapter.bias);
	if (!plainInitialisations.has(adapter.init_lora_weights))
		refuse(
			'init_lora_weights',
			'must leave the base as it is (true, false, gaussian or orthogonal)',
			adapter.init_lora_weights,
		);
	for (const [key, value] of Object.entries(adapter)) {
		if (key in Adapter.shape || bookkeeping.has(key) || isUnset(value)) continue;
		refuse(key, 'must be absent or empty', value);
	}
	const named = typeof adapter.target_modules === 'string' ? [adapter.target_modules] : (adapter.target_modules ?? []);
	const targets = linearMaps.filter((name) => named.includes(name));
	if (targets.length === 0 || new Set(named).size !== targets.length)
		refuse(
			'target_modules',
			`must name some of ${linearMaps.join(', ')}, each for every block,`,
			adapter.target_modules ?? null,
		);
	const { r, lora_alpha, use_rslora } = adapter;
	// rsLoRA weighs by alpha / sqrt(r): the same as another alpha.
	const alpha = use_rslora ? lora_alpha * Math.sqrt(r) : lora_alpha;
	return { lora: { rank: r, alpha, targets }, base: adapter.base_model_name_or_path ?? undefined };
}

function isUnset(value: unknown): boolean {
	if (value === null || value === undefined || value === false) return true;
	return typeof value === 'object' && Object.keys(value).length === 0;
}

/**
 * Compares the `adapter_config.json` beside a file of adapters with the options of the model they are loaded into.
 * A file without one (that of a training checkpoint) is taken as the options say, unless its name is peft's.
 *
 * @throws {CheckpointError} Names what differs and both values.
 */
export async function requireSameAdapter(weights: string, lora: LoraOptions | undefined): Promise<void> {
	const file = join(dirname(weights), adapterConfigName);
	if (!(await exists(file))) {
		if (basename(weights) !== adapterWeightsName) return;
		throw new CheckpointError(
			`[adapter] ${weights} must lie beside its ${adapterConfigName}, which says how the adapter is weighed, but there is none`,
		);
	}
	const adapter = (await readAdapterConfig(file)).lora;
	if (lora === undefined) return; // the engine reports that it has no adapters
	const pairs = [
		['rank', lora.rank, adapter.rank],
		['alpha', lora.alpha, adapter.alpha],
		['targets', [...lora.targets].sort().join(', '), [...adapter.targets].sort().join(', ')],
	] as const;
	for (const [name, ours, theirs] of pairs) {
		const same = typeof ours === 'number' ? Math.abs(ours - (theirs as number)) <= 1e-9 * ours : ours === theirs;
		if (!same) {
			throw new CheckpointError(
				`[adapter] ${file}: lora.${name} of the model must be that of the adapter (${theirs}) but is ${ours}; open the base with lora: ${JSON.stringify(adapter)}`,
			);
		}
	}
}

/**
 * Refuses a folder with an adapter where a whole model is asked for: `transformers` applies it to the model beside it, or
 * to the base that it names.
 *
 * @throws {CheckpointError} Says what the folder is and what can be done with it.
 */
export async function requireNoAdapter(directory: string): Promise<void> {
	const file = join(directory, adapterConfigName);
	if (!(await exists(file))) return;
	if (await exists(join(directory, 'config.json'))) {
		throw new CheckpointError(
			`[huggingface] ${directory} must hold a model or an adapter but holds config.json and ${adapterConfigName}, of which transformers makes the model with the adapter applied; keep the adapter in a folder of its own`,
		);
	}
	const base = await readAdapterConfig(file).then(
		(adapter) => adapter.base,
		() => undefined,
	);
	throw new CheckpointError(
		`[huggingface] ${directory} must be a whole model but is a PEFT adapter over ${base ?? 'a base that it does not name'}; export the run it came from merged, or merge it with peft (merge_and_unload), and give that folder; from code, WorldModel.fromPretrained(base, { lora }) and load('adapters', '${adapterWeightsName}') open it over its base`,
	);
}
