import { join } from 'node:path';
import { ConfigError } from '../errors.js';
import { writeWhole } from '../files/whole.js';
import type { LoraOptions } from '../model/lora.js';
import type { WorldModel } from '../model/world-model.js';
import type { StorageDtype } from '../native.js';

/**
 * Writes `adapter_config.json` and `adapter_model.safetensors`, which `PeftModel.from_pretrained` opens over `base`.
 *
 * @throws {ConfigError} When the model has no adapters or no base is named.
 */
export async function writePeftAdapter(
	model: WorldModel,
	folder: string,
	{ base, dtype }: { readonly base: string | undefined; readonly dtype: StorageDtype },
): Promise<void> {
	const { lora } = model.options;
	if (lora === undefined) {
		throw new ConfigError(
			'[export] adapters "peft" needs a model trained with LoRA but this one has no adapters; leave the option out',
		);
	}
	if (base === undefined) {
		throw new ConfigError(
			'[export] adapters "peft" needs baseModel, the folder or hub name that the adapter is to be loaded over, but none is given; name one, or merge',
		);
	}
	await writeWhole(join(folder, 'adapter_config.json'), `${JSON.stringify(peftConfig(lora, base), undefined, 2)}\n`);
	await model.save('adapters', join(folder, 'adapter_model.safetensors'), { dtype });
}

/**
 * `adapter_config.json` as `peft` reads it.
 *
 * @param base - What `AutoModelForCausalLM.from_pretrained` opens: a folder or a name on the hub.
 * @see peft `LoraConfig`
 */
function peftConfig(lora: LoraOptions, base: string): Readonly<Record<string, unknown>> {
	return {
		peft_type: 'LORA',
		task_type: 'CAUSAL_LM',
		base_model_name_or_path: base,
		revision: null,
		inference_mode: true,
		r: lora.rank,
		lora_alpha: lora.alpha,
		lora_dropout: lora.dropout,
		target_modules: [...lora.targets],
		modules_to_save: null,
		bias: 'none',
		fan_in_fan_out: false,
		init_lora_weights: true,
		use_rslora: false,
		use_dora: false,
		rank_pattern: {},
		alpha_pattern: {},
		layers_to_transform: null,
		layers_pattern: null,
	};
}
