import { join } from 'node:path';
import { ConfigError } from '../errors.js';
import { writeWhole } from '../files/whole.js';
import type { StorageDtype } from '../native.js';
import { peftConfig } from './lora.js';
import type { WorldModel } from './world-model.js';

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
