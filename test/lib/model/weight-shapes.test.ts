import { join } from 'node:path';
import t from 'tap';
import { WorldModel } from '../../../lib/index.js';
import { Qwen3Shape } from '../../../lib/model/qwen3-config.js';
import { readSafetensorsHeader } from '../../../lib/model/safetensors.js';
import { weightShapes } from '../../../lib/model/weight-shapes.js';

const small = {
	hiddenSize: 14,
	intermediateSize: 20,
	numHiddenLayers: 2,
	numAttentionHeads: 6,
	numKeyValueHeads: 3,
	headDim: 4,
};

t.test('the names and shapes are those of the file that the core writes, in its order', async (t) => {
	for (const tieWordEmbeddings of [true, false]) {
		const shape = Qwen3Shape.parse({ ...small, tieWordEmbeddings });
		const file = join(t.testdir(), 'encoder.safetensors');
		const model = new WorldModel({ shape, vocabSize: 37, seed: 1 });
		await model.save('encoder', file);
		await model.close();
		const { entries } = await readSafetensorsHeader(file);
		t.same(
			[...weightShapes(shape, 37)],
			entries.map(({ name, shape }) => [name, shape]),
		);
		t.equal(weightShapes(shape, 37).has('lm_head.weight'), !tieWordEmbeddings);
	}
});

t.test('a shape that no model has is refused before its weights are listed', async (t) => {
	const shape = { ...Qwen3Shape.parse(small), numHiddenLayers: 1e12 };
	t.throws(() => weightShapes(shape, 37), {
		code: 'EHR_JEPA_CONFIG',
		message: '[qwen3] num_hidden_layers must be at most 10000 but it is 1000000000000',
	});
});
