/** What an export was not asked to change has the same bytes, and what it leaves out is said. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { exportHuggingFace, exportModelFolder, WorldModel } from '../../lib/index.js';
import { openPretrained } from '../../lib/model/pretrained.js';
import { checkpointVariant } from '../fixtures/checkpoint-variant.js';
import { temporaryFolder } from '../fixtures/temporary-folder.js';

const folder = temporaryFolder(t);
const json = (...path: string[]) => JSON.parse(readFileSync(join(...path), 'utf8'));

/** dtype and bytes of every tensor by name. */
async function tensors(directory: string): Promise<Map<string, string>> {
	const { entries } = await openPretrained(directory);
	return new Map(
		entries.map(({ name, dtype, path, begin, end }) => [
			name,
			`${dtype} ${readFileSync(path).subarray(begin, end).toString('base64')}`,
		]),
	);
}

t.test('"as they are" is the dtype of each tensor in the file, not the word of config.json', async (t) => {
	for (const [word, dtype] of [
		['bfloat16', 'F32'],
		['float32', 'BF16'],
		['float16', (name: string) => (name.includes('norm') ? 'F32' : 'BF16')],
	] as const) {
		const source = await checkpointVariant(join(folder, `from-${word}`), 'one-kv-head-untied', {
			dtype,
			config: (config) => ({ ...config, dtype: word }),
		});
		for (const maxShardSize of ['5GB', '9KB']) {
			const out = join(folder, `${word}-${maxShardSize}`);
			await exportModelFolder(source, out, { maxShardSize });
			t.same(await tensors(out), await tensors(source), `${word} ${maxShardSize}`);
			t.same(json(out, 'config.json'), json(source, 'config.json'));
		}
	}
});

t.test('every key of the configurations and every other file stays', async (t) => {
	const source = await checkpointVariant(join(folder, 'keys'), 'gqa-tied', {
		rename: (name) => name.replace(/^model\./, ''),
		config: (config) => ({ ...config, eos_token_id: [3, 4], bos_token_id: 1, use_cache: false, my_key: { deep: [1] } }),
	});
	const generation = '{"eos_token_id": [3, 4], "temperature": 0.6}\n';
	for (const [name, text] of [
		['generation_config.json', generation],
		['tokenizer.json', '{"model":{"vocab":{"a":0}}}'],
		['README.md', '# Card'],
		['predictor.safetensors', 'p'],
		['target_encoder.safetensors', 't'],
		['pytorch_model.bin', 'x'],
	])
		writeFileSync(join(source, name!), text!);
	mkdirSync(join(source, 'onnx'));
	const { notes } = await exportModelFolder(source, join(folder, 'kept'));
	t.same(json(folder, 'kept', 'config.json'), json(source, 'config.json'));
	for (const name of [
		'generation_config.json',
		'tokenizer.json',
		'README.md',
		'predictor.safetensors',
		'target_encoder.safetensors',
	])
		t.same(readFileSync(join(folder, 'kept', name)), readFileSync(join(source, name)), name);
	t.same(notes, ['left out: onnx/', 'left out: pytorch_model.bin']);
	const { notes: halved } = await exportModelFolder(source, join(folder, 'asked'), { dtype: 'bfloat16' });
	t.same(halved, notes);
	t.same(json(folder, 'asked', 'config.json'), { ...json(source, 'config.json'), dtype: 'bfloat16' });
});

t.test('a wrapper gives its decoder, and what it leaves is said', async (t) => {
	const source = await checkpointVariant(join(folder, 'wrapper'), 'gqa-tied', {
		rename: (name) => `language_model.${name}`,
		add: () => [{ name: 'vision.patch', dtype: 'F32', shape: [2], bytes: new Uint8Array(8) }],
		config: (config) => ({
			model_type: 'a_wrapper',
			architectures: ['X'],
			text_config: { ...config, eos_token_id: [7, 8] },
		}),
	});
	const { notes } = await exportModelFolder(source, join(folder, 'decoder'));
	t.same(notes, ['left out: tensor vision.patch (outside the language model)']);
	t.match(json(folder, 'decoder', 'config.json'), { model_type: 'qwen3', eos_token_id: [7, 8] });
	t.same(await tensors(join(folder, 'decoder')), await tensors(source));
});

t.test('a number that does not fit the dtype is refused, with its tensor', async (t) => {
	const source = await checkpointVariant(join(folder, 'large'), 'gqa-tied', {
		edit: (name, values) => {
			if (name === 'model.norm.weight') values[2] = 1e6;
		},
	});
	await t.rejects(exportModelFolder(source, join(folder, 'f16'), { dtype: 'float16' }), {
		code: 'EHR_JEPA_NATIVE',
		message: /tensor model.norm.weight must fit F16 but holds 1000000.* at element 2; choose a wider dtype/,
	});
	t.throws(() => readFileSync(join(folder, 'f16', 'config.json')), 'nothing is left');
});

t.test('an export of ours is exported again and read in bfloat16, with what training adds to it', async (t) => {
	const source = await checkpointVariant(join(folder, 'base'), 'gqa-tied', {
		config: (config) => ({ ...config, eos_token_id: [3, 4], max_position_embeddings: 99 }),
	});
	writeFileSync(join(source, 'generation_config.json'), '{"temperature": 0.6}');
	const model = await WorldModel.fromPretrained(source, { maskTokenId: 60 });
	const first = join(folder, 'first');
	const parts = ['predictor', 'target_encoder'] as const;
	t.same((await exportHuggingFace(model, first, { dtype: 'bfloat16', parts: [...parts], base: source })).notes, []);
	const { notes } = await exportHuggingFace(model, join(folder, 'without-base'));
	t.match(notes, [
		/^not kept of .*config.json: .*max_position_embeddings.*eos_token_id.*; give that folder as base to keep them/,
		/^not kept of .*generation_config.json: temperature;/,
	]);
	const given = { tokens: { eos: [3, 4] }, maxPositionEmbeddings: 99 };
	const { notes: fewer } = await exportHuggingFace(model, join(folder, 'given'), given);
	t.notMatch(fewer.join(), /max_position_embeddings|eos_token_id/);
	await model.close();
	t.match(
		json(first, 'config.json'),
		{ eos_token_id: [3, 4], max_position_embeddings: 99 },
		'what the base says stays',
	);
	t.match(json(first, 'generation_config.json'), { temperature: 0.6 });
	const again = join(folder, 'again');
	await exportModelFolder(first, again);
	for (const name of ['config.json', 'model.safetensors', 'predictor.safetensors', 'target_encoder.safetensors'])
		t.ok(readFileSync(join(again, name)).length > 0, name);
	t.same(json(again, 'config.json'), json(first, 'config.json'));
	t.same(readFileSync(join(again, 'predictor.safetensors')), readFileSync(join(first, 'predictor.safetensors')));
	const frozen = await WorldModel.fromPretrained(again, { parameterDtype: 'bfloat16', computeDtype: 'bfloat16' });
	const { logProbabilities } = await frozen.score({
		tokens: Int32Array.of(3, 1, 4),
		cuSeqlens: Int32Array.of(0, 3),
		positionIds: Int32Array.of(0, 1, 2),
	});
	t.ok(logProbabilities.every(Number.isFinite));
	await frozen.close();
});

t.test('a tokenizer with ids that the model has no row for is refused', async (t) => {
	const source = await checkpointVariant(join(folder, 'small'), 'gqa-tied', {});
	const tokenizer = join(folder, 'tokenizer');
	mkdirSync(tokenizer);
	writeFileSync(
		join(tokenizer, 'tokenizer.json'),
		JSON.stringify({ model: { vocab: { a: 0 } }, added_tokens: [{ id: 61 }] }),
	);
	await t.rejects(exportModelFolder(source, join(folder, 'no'), { tokenizer }), {
		code: 'EHR_JEPA_CONFIG',
		message: /tokenizer must have ids below the 61 rows .* has 61/,
	});
});

t.test(
	'what is not finite, or does not fit, is not exported, and no message speaks of a temporary folder',
	async (t) => {
		const bits = {
			F32: [0x7fc00000, 0x7f800000, 0xff800000],
			F16: [0x7e00, 0x7c00, 0xfc00],
			BF16: [0x7fc0, 0x7f80, 0xff80],
		} as const;
		for (const dtype of ['F32', 'F16', 'BF16'] as const) {
			for (const value of bits[dtype]) {
				const source = await checkpointVariant(join(folder, 'broken'), 'gqa-tied', {
					dtype,
					rename: (name) => (name === 'model.norm.weight' ? undefined : name),
					add: (tensors) => {
						const { length } = tensors.get('model.norm.weight')!;
						const numbers = dtype === 'F32' ? new Uint32Array(length) : new Uint16Array(length);
						numbers[5] = value;
						return [{ name: 'model.norm.weight', dtype, shape: [length], bytes: Buffer.from(numbers.buffer) }];
					},
				});
				await t.rejects(
					exportModelFolder(source, join(folder, 'broken-out')),
					{
						code: 'EHR_JEPA_CHECKPOINT',
						message: /tensor model\.norm\.weight must hold finite numbers but holds an infinity or NaN at element 5;/,
					},
					`${dtype} ${value}`,
				);
			}
		}
		const large = await checkpointVariant(join(folder, 'large'), 'gqa-tied', {
			edit: (name, values) => {
				if (name === 'model.norm.weight') values[5] = 1e30;
			},
		});
		const out = join(folder, 'large-out');
		await t.rejects(exportModelFolder(large, out, { dtype: 'float16' }), {
			code: 'EHR_JEPA_NATIVE',
			message: new RegExp(`${out}/model\\.safetensors: tensor model\\.norm\\.weight must fit F16`),
		});
		t.notOk(readdirSync(folder).some((name) => name.endsWith('.tmp') || name.endsWith('-out')));
	},
);
