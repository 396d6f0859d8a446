/** A number of layers that no model has is refused by name, before anything is listed or allocated for each of them. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { WorldModel } from '../../lib/index.js';
import { openPretrained } from '../../lib/model/pretrained.js';
import { Qwen3Shape } from '../../lib/model/qwen3-config.js';

const many = 2_000_000_000;
const shape = { hiddenSize: 16, intermediateSize: 32, numAttentionHeads: 2, numKeyValueHeads: 1, headDim: 8 };

t.test('in config.json of a HuggingFace folder', async (t) => {
	const folder = t.testdir();
	const config = {
		model_type: 'qwen3',
		vocab_size: 61,
		hidden_size: 16,
		intermediate_size: 32,
		num_hidden_layers: many,
		num_attention_heads: 2,
		num_key_value_heads: 1,
		head_dim: 8,
	};
	writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
	await t.rejects(openPretrained(folder), {
		code: 'EHR_JEPA_CHECKPOINT',
		message: /config\.json: num_hidden_layers must be at most 10000 but is 2000000000/,
	});
});

t.test('in the shape of a model of its own', async (t) => {
	const parsed = Qwen3Shape.safeParse({ ...shape, numHiddenLayers: many });
	t.same(
		parsed.error?.issues.map(({ path, code }) => [path.join('.'), code]),
		[['numHiddenLayers', 'too_big']],
	);
});

t.test('in the shape that a model is made from', async (t) => {
	const unparsed = { ...Qwen3Shape.parse(shape), numHiddenLayers: many };
	t.throws(() => new WorldModel({ shape: unparsed, vocabSize: 61, maskTokenId: 1, seed: 1 }), {
		code: 'EHR_JEPA_CONFIG',
		message: /shape\.numHiddenLayers: .*10000, but it is 2000000000/,
	});
});
