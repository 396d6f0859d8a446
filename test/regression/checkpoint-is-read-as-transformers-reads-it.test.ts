/**
 * A folder whose parts contradict each other is read as transformers 5.18 reads it, or refused. Each case below was opened by
 * transformers 5.18 too: where both read it, log-probabilities differed by less than 5e-7.
 */
import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { WorldModel } from '../../lib/index.js';
import { openPretrained } from '../../lib/model/pretrained.js';
import { type Change, checkpointVariant, parityFixture } from '../fixtures/checkpoint-variant.js';
import { encode, type RawTensor } from '../fixtures/safetensors-file.js';
import { temporaryFolder } from '../fixtures/temporary-folder.js';

const folder = temporaryFolder(t);
const batch = {
	tokens: Int32Array.of(3, 1, 4, 1, 5, 9),
	cuSeqlens: Int32Array.of(0, 6),
	positionIds: Int32Array.of(0, 1, 2, 3, 4, 5),
};
const set = (change: object): Change => ({ config: (config) => ({ ...config, ...change }) });
const head = (edit: (values: Float32Array) => void, rows = 61): Change => ({
	add: (tensors) => {
		const values = tensors.get('model.embed_tokens.weight')!.slice(0, rows * 24);
		edit(values);
		return [{ name: 'lm_head.weight', dtype: 'F32', shape: [rows, 24], bytes: encode(values, 'F32') }];
	},
});
const extra = (name: string, dtype = 'F32', shape = [2], bytes = 8): Change => ({
	add: (): RawTensor[] => [{ name, dtype, shape, bytes: new Uint8Array(bytes) }],
});
const bare = (name: string) => name.replace(/^model\./, '');

async function scores(directory: string): Promise<number[]> {
	const model = await WorldModel.fromPretrained(directory);
	try {
		return [...(await model.score(batch)).logProbabilities];
	} finally {
		await model.close();
	}
}

t.test('what transformers reads as the same model is the same model', async (t) => {
	const plain = await scores(parityFixture('gqa-tied'));
	const cases: Readonly<Record<string, Change>> = {
		'the tied head is stored all the same': head(() => undefined),
		'names of a bare Qwen3Model': { rename: bare },
		'a bare Qwen3Model by its architecture': { rename: bare, ...set({ architectures: ['Qwen3Model'] }) },
		'rope_theta at the top alone': set({ rope_parameters: null, rope_theta: 1e6 }),
		'rope_theta twice, the same': set({ rope_theta: 1e6 }),
		'a sliding window that is switched off': set({ sliding_window: 2, use_sliding_window: false }),
		'swish, another name of silu': set({ hidden_act: 'swish' }),
		'no rms_norm_eps': set({ rms_norm_eps: undefined }),
		'dtype and torch_dtype differ, and from the file': set({ dtype: 'bfloat16', torch_dtype: 'float16' }),
		'64-bit integers outside the decoder': extra('position_ids', 'I64', [3], 24),
		'bytes outside the decoder': extra('tokenizer.bytes', 'U8', [5], 5),
		'truth values outside the decoder': extra('vision.mask', 'BOOL', [3], 3),
		'a wrapper with the decoder inside model.': {
			rename: (name) => `model.language_model.${bare(name)}`,
			config: (config) => ({ model_type: 'a_wrapper', text_config: config }),
		},
	};
	for (const [name, change] of Object.entries(cases))
		t.same(await scores(await checkpointVariant(join(folder, 'read'), 'gqa-tied', change)), plain, name);
});

t.test('the single file counts beside an index, stale or without its shards', async (t) => {
	const plain = await scores(parityFixture('gqa-tied'));
	const stale = await checkpointVariant(join(folder, 'stale'), 'gqa-tied', {
		shards: 2,
		edit: (_, values) => values.fill(0.5),
	});
	t.notSame(await scores(stale), plain, 'the shards are another model');
	cpSync(join(parityFixture('gqa-tied'), 'model.safetensors'), join(stale, 'model.safetensors'));
	t.same(await scores(stale), plain);
	t.match((await openPretrained(stale)).notes, [/model.safetensors.index.json is not read/], 'and it is said');
	for (const shard of [0, 1]) rmSync(join(stale, `model-${shard}.safetensors`));
	t.same(await scores(stale), plain);
});

t.test('what config.json says of the files and is not so is said', async (t) => {
	const directory = await checkpointVariant(
		join(folder, 'said'),
		'gqa-tied',
		set({ dtype: 'bfloat16', vocab_size: 70 }),
	);
	t.match((await openPretrained(directory)).notes, [
		/says bfloat16 but the weights are float32: they are read as they are/,
		/says vocab_size 70 but the embedding has 61 rows/,
	]);
});

t.test('what is not plainly one model is refused, with both names', async (t) => {
	const refused = async (message: RegExp, change: Change, from = 'gqa-tied') => {
		const directory = await checkpointVariant(join(folder, 'refused'), from, change);
		await t.rejects(openPretrained(directory), { code: 'EHR_JEPA_CHECKPOINT', message }, String(message));
	};
	await refused(
		/lm_head.weight must be equal to model.embed_tokens.weight.*tie_word_embeddings true, but differs from it in row 4/,
		head((values) => {
			values[4 * 24 + 3]! += 1;
		}),
	);
	await refused(
		/but differs from it in row 60/,
		head((values) => values.fill(0, values.length - 1)),
	);
	await refused(
		/but is F32 \[60, 24\] beside F32 \[61, 24\]/,
		head(() => undefined, 60),
	);
	await refused(
		/must hold one head but holds (lm_head.weight and language_model.lm_head.weight|language_model.lm_head.weight and lm_head.weight)/,
		{
			rename: (name) => `language_model.${name}`,
			...extra('lm_head.weight'),
			config: (config) => ({ model_type: 'x', text_config: config }),
		},
		'one-kv-head-untied',
	);
	await refused(
		/lacks 1, the first is lm_head.weight; .*tie_word_embeddings true/,
		set({ tie_word_embeddings: undefined }),
	);
	await refused(
		/rope_parameters.rope_theta must be equal to rope_theta \(5000\).* but is 1000000/,
		set({ rope_theta: 5000 }),
	);
	await refused(
		/rope_scaling.rope_theta must be equal to rope_parameters.rope_theta \(1000000\).* but is 777/,
		set({ rope_scaling: { rope_type: 'default', rope_theta: 777 } }),
	);
	await refused(
		/rope_scaling must be absent beside rope_parameters.rope_theta/,
		set({ rope_scaling: { rope_type: 'default' } }),
	);
	for (const type of ['yarn', 'linear', 'dynamic', 'llama3', 'longrope'])
		await refused(/rope_scaling must be absent/, set({ rope_scaling: { type, factor: 2, rope_theta: 1e6 } }));
	await refused(
		/rope_parameters.full_attention must be absent/,
		set({ rope_theta: 1e6, rope_parameters: { full_attention: { rope_type: 'default', rope_theta: 1e6 } } }),
	);
	await refused(/partial_rotary_factor must be 1 but is 0.5/, set({ partial_rotary_factor: 0.5 }));
	await refused(/head_dim must be a finite number but is null/, set({ head_dim: null }));
	await refused(/num_key_value_heads \(32 where absent\) must divide/, set({ num_key_value_heads: undefined }));
	await refused(/k_proj.weight must have shape \[32, 24\]/, set({ num_key_value_heads: null }));
	await refused(/layer_types must name each of the num_hidden_layers \(2\)/, set({ layer_types: ['full_attention'] }));
	await refused(/is_causal must be true/, set({ is_causal: false }));
	await refused(/quantization_config must be absent/, set({ quantization_config: { quant_method: 'fp8' } }));
	await refused(/pruned_heads must be empty/, set({ pruned_heads: { 0: [1] } }));
	await refused(/transformers_weights must be absent/, set({ transformers_weights: 'other.safetensors' }));
	await refused(
		/mask_token_id must be a row of the embedding \(below 61\) but is 61/,
		set({ ehr_jepa: { mask_token_id: 61 } }),
	);
	for (const architecture of ['Qwen3ForSequenceClassification', 'Qwen2ForCausalLM', 'Qwen3MoeForCausalLM'])
		await refused(/architectures must be Qwen3ForCausalLM/, set({ architectures: [architecture] }));
	await refused(/text_config must be absent with model_type qwen3/, {
		config: (config) => ({ ...config, text_config: { ...config } }),
	});
	await refused(/text_config.rms_norm_eps must be equal to rms_norm_eps \(0.5\)/, {
		config: (config) => ({ model_type: 'x', rms_norm_eps: 0.5, text_config: config }),
	});
	await refused(/text_config.tie_word_embeddings must be equal to tie_word_embeddings \(false\)/, {
		config: (config) => ({ model_type: 'x', tie_word_embeddings: false, text_config: config }),
	});
	await refused(/tensor model.norm.weight must stand behind "language_model.model."/, {
		rename: (name) => `language_model.${name}`,
		...extra('model.norm.weight'),
	});
	await refused(/tensor norm.weight must stand behind "model."/, extra('norm.weight'));
	await refused(/must be F32, F16 or BF16 but is U8/, {
		rename: (name) => (name === 'model.norm.weight' ? undefined : name),
		...extra('model.norm.weight', 'U8', [24], 24),
	});
});
