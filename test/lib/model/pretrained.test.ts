import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { type PackedBatch, WorldModel } from '../../../lib/index.js';
import { openPretrained } from '../../../lib/model/pretrained.js';
import { objectivePresets } from '../../../lib/objective/objective.js';
import { type Change, checkpointVariant, parityFixture as fixture } from '../../fixtures/checkpoint-variant.js';
import { nativeBatch } from '../../fixtures/native-batch.js';
import { encode, type RawTensor } from '../../fixtures/safetensors-file.js';
import { temporaryFolder } from '../../fixtures/temporary-folder.js';

const folder = temporaryFolder(t);
const batch: PackedBatch = {
	tokens: Int32Array.of(3, 1, 4, 1, 5, 9),
	cuSeqlens: Int32Array.of(0, 6),
	positionIds: Int32Array.of(0, 1, 2, 3, 4, 5),
};
const variant = (name: string, from: string, change: Change) => checkpointVariant(join(folder, name), from, change);

async function logProbabilities(directory: string, options: Parameters<typeof WorldModel.fromPretrained>[1] = {}) {
	const model = await WorldModel.fromPretrained(directory, options);
	try {
		return [...(await model.score(batch)).logProbabilities];
	} finally {
		await model.close();
	}
}

t.test('the same weights under every layout give the same numbers', async (t) => {
	const plain = await logProbabilities(fixture('gqa-tied'));
	const lmHead = (tensors: ReadonlyMap<string, Float32Array>): RawTensor[] => [
		{
			name: 'lm_head.weight',
			dtype: 'F32',
			shape: [61, 24],
			bytes: encode(tensors.get('model.embed_tokens.weight')!, 'F32'),
		},
	];
	const wrapped = (config: Record<string, unknown>) => ({
		model_type: 'smb_unstructured',
		architectures: ['SomethingForClinicalText'],
		text_config: { ...config, architectures: undefined },
	});
	const layouts = {
		sharded: await variant('sharded', 'gqa-tied', { shards: 3 }),
		'with a stored head': await variant('stored-head', 'gqa-tied', { add: lmHead }),
		'in a wrapper, prefixed': await variant('wrapper', 'gqa-tied', {
			rename: (name) => `language_model.${name}`,
			config: wrapped,
			add: () => [{ name: 'vision.patch', dtype: 'F32', shape: [2], bytes: new Uint8Array(8) }],
		}),
		'in a wrapper, the head outside': await variant('wrapper-head', 'gqa-tied', {
			rename: (name) => `language_model.${name}`,
			config: wrapped,
			add: lmHead,
		}),
		'torch_dtype as transformers 4 spells it': await variant('spelling', 'gqa-tied', {
			config: ({ dtype: _, rope_parameters: __, ...config }) => ({
				...config,
				torch_dtype: 'torch.float32',
				rope_theta: 1e6,
				rope_scaling: null,
			}),
		}),
	};
	for (const [name, directory] of Object.entries(layouts)) t.same(await logProbabilities(directory), plain, name);
	t.same(await logProbabilities(fixture('gqa-tied'), { placement: 'mapped' }), plain, 'mapped');
	t.same(
		(await openPretrained(layouts['in a wrapper, prefixed'])).unread,
		[{ name: 'vision.patch', reason: 'outside the language model' }],
		'what is not read is listed',
	);
	t.match((await openPretrained(layouts['with a stored head'])).unread, [{ name: 'lm_head.weight', reason: /tied/ }]);
});

t.test('every dtype on disk reaches every dtype of parameters', async (t) => {
	const plain = await logProbabilities(fixture('one-kv-head-untied'));
	for (const dtype of ['F16', 'BF16'] as const) {
		const directory = await variant(dtype, 'one-kv-head-untied', { dtype });
		for (const parameterDtype of ['float32', 'bfloat16'] as const) {
			for (const placement of ['owned', 'mapped'] as const) {
				const found = await logProbabilities(directory, { parameterDtype, placement });
				const worst = Math.max(...found.map((value, i) => Math.abs(value - plain[i]!)));
				t.ok(worst > 0 && worst < 0.1, `${dtype} to ${parameterDtype}, ${placement}: ${worst}`);
			}
		}
	}
});

t.test('the vocabulary size is that of the embedding, not of config.json', async (t) => {
	const directory = await variant('vocabulary', 'gqa-tied', { config: (config) => ({ ...config, vocab_size: 9999 }) });
	const model = await WorldModel.fromPretrained(directory);
	t.equal(model.options.vocabSize, 61);
	await model.close();
});

t.test('bfloat16 parameters are frozen', async (t) => {
	const training = nativeBatch(2, 6, 61);
	const frozen = await WorldModel.fromPretrained(fixture('gqa-tied'), {
		parameterDtype: 'bfloat16',
		computeDtype: 'bfloat16',
	});
	await t.rejects(frozen.step(training, { learningRate: 1e-3, objective: objectivePresets.sft }), {
		code: 'EHR_JEPA_NATIVE',
		message: /parameterDtype must be float32 to train but is bfloat16/,
	});
	t.ok(
		Number.isFinite((await frozen.losses(training, { objective: objectivePresets.sft })).loss),
		'it can be evaluated',
	);
	await frozen.close();
});

t.test('what is not a Qwen3 decoder is refused by name', async (t) => {
	const refused = async (message: RegExp, config: (config: Record<string, unknown>) => unknown) => {
		const directory = await variant('refused', 'gqa-tied', { config });
		await t.rejects(openPretrained(directory), { code: 'EHR_JEPA_CHECKPOINT', message }, String(message));
	};
	const set = (change: object) => (config: Record<string, unknown>) => ({ ...config, ...change });
	await refused(/model_type must be qwen3.* but is "llama"/, set({ model_type: 'llama' }));
	await refused(/text_config.model_type must be qwen3 but is "qwen2"/, (config) => ({
		model_type: 'x',
		text_config: { ...config, model_type: 'qwen2' },
	}));
	await refused(
		/architectures must be Qwen3ForCausalLM but is "Qwen3ForTokenClassification"/,
		set({ architectures: ['Qwen3ForTokenClassification'] }),
	);
	await refused(/rope_scaling must be .* but is "yarn"/, set({ rope_scaling: { type: 'yarn', factor: 4 } }));
	await refused(
		/rope_parameters must be .* but is "linear"/,
		set({ rope_parameters: { rope_type: 'linear', rope_theta: 1e6 } }),
	);
	await refused(/use_sliding_window must be false/, set({ use_sliding_window: true }));
	await refused(
		/layer_types must all be full_attention but is "sliding_attention"/,
		set({ layer_types: ['full_attention', 'sliding_attention'] }),
	);
	await refused(/attention_bias must be false/, set({ attention_bias: true }));
	await refused(/attention_dropout must be 0/, set({ attention_dropout: 0.1 }));
	await refused(/hidden_act must be silu/, set({ hidden_act: 'gelu' }));
	await refused(/head_dim must be even/, set({ head_dim: 7 }));
	await refused(
		/num_key_value_heads \(32 where absent\) must divide num_attention_heads \(4\) but is 3/,
		set({ num_key_value_heads: 3 }),
	);
	await refused(/hidden_size must be a finite number but is missing/, set({ hidden_size: undefined }));
	await refused(/rope_theta must be given/, set({ rope_parameters: null }));
	await refused(/dtype must be float32, float16 or bfloat16 but is "float8"/, set({ dtype: 'float8' }));
	// Absent in the file: transformers takes 128.
	await refused(/k_norm.weight must have shape \[128\] by config.json but has \[8\]/, set({ head_dim: undefined }));
	await refused(
		/lacks 11, the first is model.layers.2.input_layernorm.weight/,
		set({ num_hidden_layers: 3, layer_types: undefined }),
	);
	await refused(
		/tensor model.layers.1.* does not belong to a Qwen3 decoder of 1 layers/,
		set({ num_hidden_layers: 1, layer_types: undefined }),
	);
	await refused(/lacks 1, the first is lm_head.weight/, set({ tie_word_embeddings: false }));
});

t.test('a folder that is not whole is refused', async (t) => {
	const rejected = (directory: string, message: RegExp) =>
		t.rejects(openPretrained(directory), { code: 'EHR_JEPA_CHECKPOINT', message });
	await rejected(join(folder, 'nowhere'), /config.json must be JSON but it is not there/);
	const bias = await variant('bias', 'gqa-tied', {
		add: () => [{ name: 'model.layers.0.self_attn.q_proj.bias', dtype: 'F32', shape: [2], bytes: new Uint8Array(8) }],
	});
	await rejected(bias, /q_proj.bias does not belong/);
	const twice = await variant('twice', 'gqa-tied', {
		add: () => [
			{ name: 'language_model.model.embed_tokens.weight', dtype: 'F32', shape: [2], bytes: new Uint8Array(8) },
		],
	});
	await rejected(twice, /must hold one tensor model.embed_tokens.weight, plain or behind a prefix, but holds 2/);
	const sharded = await variant('shards', 'gqa-tied', { shards: 2 });
	const index = join(sharded, 'model.safetensors.index.json');
	const { weight_map } = JSON.parse(readFileSync(index, 'utf8'));
	const withMap = (map: object) => writeFileSync(index, JSON.stringify({ weight_map: map }));
	withMap({ ...weight_map, 'model.norm.weight': '../model-0.safetensors' });
	await rejected(sharded, /must name files in its own folder but names "\.\.\/model-0\.safetensors"/);
	withMap({ ...weight_map, extra: 'model-1.safetensors' });
	await rejected(sharded, /tensor extra must be in model-1.safetensors but is not/);
	const { 'model.norm.weight': _, ...rest } = weight_map;
	withMap(rest);
	await rejected(sharded, /tensor model.norm.weight must be listed for this file in the index but is listed for none/);
	writeFileSync(index, '{');
	await rejected(sharded, /index.json must be JSON/);
	const empty = join(folder, 'empty');
	mkdirSync(empty);
	cpSync(join(fixture('gqa-tied'), 'config.json'), join(empty, 'config.json'));
	await rejected(empty, /must hold model.safetensors or model.safetensors.index.json but holds neither/);
});
