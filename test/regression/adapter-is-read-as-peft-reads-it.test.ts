/** The scale and reach of an adapter come from its `adapter_config.json`; what differs from the options is refused. */
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { WorldModel } from '../../lib/index.js';
import { readAdapterConfig } from '../../lib/model/adapter-config.js';
import { parityFixture } from '../fixtures/checkpoint-variant.js';
import { temporaryFolder } from '../fixtures/temporary-folder.js';

const folder = temporaryFolder(t);
const base = parityFixture('lora-two-maps');
const plain = JSON.parse(readFileSync(join(base, 'adapter', 'adapter_config.json'), 'utf8')) as Record<string, unknown>;
const adapter = join(folder, 'adapter');
mkdirSync(adapter);
cpSync(join(base, 'adapter', 'adapter_model.safetensors'), join(adapter, 'adapter_model.safetensors'));
const write = (change: object) =>
	writeFileSync(join(adapter, 'adapter_config.json'), JSON.stringify({ ...plain, ...change }));
const weights = join(adapter, 'adapter_model.safetensors');

t.test('what changes the mathematics is refused by name', async (t) => {
	const cases: Readonly<Record<string, [unknown, RegExp]>> = {
		peft_type: ['LOHA', /peft_type must be LORA but is "LOHA"/],
		use_dora: [true, /use_dora must be absent or empty but is true/],
		alpha_pattern: [{ q_proj: 32 }, /alpha_pattern must be absent or empty/],
		rank_pattern: [{ q_proj: 2 }, /rank_pattern must be absent or empty/],
		modules_to_save: [['lm_head'], /modules_to_save must be absent or empty but is \["lm_head"\]/],
		bias: ['all', /bias must be none but is "all"/],
		lora_bias: [true, /lora_bias must be absent/],
		layers_to_transform: [[0], /layers_to_transform must be absent or empty but is \[0\]/],
		layer_replication: [[[0, 1]], /layer_replication must be absent/],
		target_parameters: [['x'], /target_parameters must be absent/],
		trainable_token_indices: [[1], /trainable_token_indices must be absent/],
		exclude_modules: [['x'], /exclude_modules must be absent/],
		fan_in_fan_out: [true, /fan_in_fan_out must be absent/],
		init_lora_weights: ['pissa', /init_lora_weights must leave the base as it is/],
		target_modules: [['model.layers.0.self_attn.q_proj'], /target_modules must name some of/],
		something_new: [{ on: 1 }, /something_new must be absent or empty/],
	};
	for (const [key, [value, message]] of Object.entries(cases)) {
		write({ [key]: value });
		await t.rejects(readAdapterConfig(join(adapter, 'adapter_config.json')), { code: 'EHR_JEPA_CHECKPOINT', message });
	}
});

t.test('rsLoRA is the same as another alpha', async (t) => {
	write({ r: 4, lora_alpha: 8, use_rslora: true });
	t.equal((await readAdapterConfig(join(adapter, 'adapter_config.json'))).lora.alpha, 16);
});

t.test('options of the model and of the adapter are compared when it is loaded', async (t) => {
	write({});
	const { lora } = await readAdapterConfig(join(adapter, 'adapter_config.json'));
	const load = async (options: object) => {
		const model = await WorldModel.fromPretrained(base, { lora: { ...lora, dropout: 0, ...options } });
		try {
			await model.load('adapters', weights);
		} finally {
			await model.close();
		}
	};
	await load({});
	const refused = (options: object, message: RegExp) =>
		t.rejects(load(options), { code: 'EHR_JEPA_CHECKPOINT', message });
	await refused({ alpha: lora.alpha * 2 }, /lora.alpha of the model must be that of the adapter \([\d.]+\) but is/);
	await refused({ rank: lora.rank + 1 }, /lora.rank/);
	await refused({ targets: ['q_proj', 'gate_proj'] }, /lora.targets/);
	write({ use_rslora: true });
	await refused({}, /lora.alpha/);
	rmSync(join(adapter, 'adapter_config.json'));
	await refused({}, /must lie beside its adapter_config.json/);
});

t.test('an adapter given as a model says what it is', async (t) => {
	write({ base_model_name_or_path: 'Qwen/Qwen3-0.6B' });
	await t.rejects(WorldModel.fromPretrained(adapter), {
		code: 'EHR_JEPA_CHECKPOINT',
		message: /must be a whole model but is a PEFT adapter over Qwen\/Qwen3-0.6B; export the run it came from merged/,
	});
	const both = join(folder, 'both');
	cpSync(parityFixture('gqa-tied'), both, { recursive: true });
	cpSync(join(adapter, 'adapter_config.json'), join(both, 'adapter_config.json'));
	await t.rejects(WorldModel.fromPretrained(both), { message: /holds config.json and adapter_config.json/ });
});
