/** A weight that is NaN or infinite is refused with its name, and no result stands for something else by being NaN. */
import { join } from 'node:path';
import t from 'tap';
import { WorldModel } from '../../lib/index.js';
import { checkpointVariant, parityFixture } from '../fixtures/checkpoint-variant.js';
import { temporaryFolder } from '../fixtures/temporary-folder.js';

const folder = temporaryFolder(t);
const batch = {
	tokens: Int32Array.of(3, 1, 4, 1, 5, 9, 2),
	cuSeqlens: Int32Array.of(0, 3, 4, 7),
	positionIds: Int32Array.of(0, 1, 2, 0, 0, 1, 2),
};
const broken = (tensor: string, value: number, dtype: 'F32' | 'BF16' = 'F32') =>
	checkpointVariant(join(folder, 'broken'), 'gqa-tied', {
		dtype,
		edit: (name, values) => {
			if (name === tensor) values[5] = value;
		},
	});

t.test('a weight that is not finite is refused, whatever dtype and placement', async (t) => {
	for (const [tensor, value] of [
		['model.embed_tokens.weight', Number.NaN],
		['model.layers.1.mlp.up_proj.weight', Number.POSITIVE_INFINITY],
		['model.norm.weight', Number.NEGATIVE_INFINITY],
	] as const) {
		for (const dtype of ['F32', 'BF16'] as const) {
			for (const options of [
				{},
				{ placement: 'mapped' },
				{ parameterDtype: 'bfloat16', placement: 'mapped' },
				{ parameterDtype: 'bfloat16' },
			] as const) {
				await t.rejects(WorldModel.fromPretrained(await broken(tensor, value, dtype), options), {
					code: 'EHR_JEPA_NATIVE',
					message: new RegExp(`tensor ${tensor} must hold finite numbers but holds -?(nan|inf) at element 5`),
				});
			}
		}
	}
});

t.test('a refused file leaves the state as it was', async (t) => {
	const model = await WorldModel.fromPretrained(parityFixture('gqa-tied'));
	t.teardown(() => model.close());
	const before = await model.score(batch);
	const directory = await broken('model.norm.weight', Number.NaN);
	await t.rejects(model.load('encoder', join(directory, 'model.safetensors')), { message: /model.norm.weight/ });
	t.same(await model.score(batch), before);
});

t.test('the first token of a sequence has no log-probability at all', async (t) => {
	const model = await WorldModel.fromPretrained(parityFixture('gqa-tied'));
	t.teardown(() => model.close());
	const { logProbabilities } = await model.score(batch);
	t.equal(logProbabilities.length, 4, 'seven tokens of three sequences');
	t.ok(logProbabilities.every((value) => Number.isFinite(value) && value < 0));
	const alone = await model.score({
		tokens: Int32Array.of(5, 9, 2),
		cuSeqlens: Int32Array.of(0, 3),
		positionIds: Int32Array.of(0, 1, 2),
	});
	for (const [i, value] of alone.logProbabilities.entries())
		t.ok(Math.abs(value - logProbabilities[2 + i]!) < 1e-5, 'each belongs to its sequence');
});

t.test('results that overflow are an error', async (t) => {
	const huge = await checkpointVariant(join(folder, 'huge'), 'one-kv-head-untied', {
		edit: (name, values) => {
			if (name === 'model.norm.weight' || name === 'lm_head.weight') values.fill(3e38);
		},
	});
	const model = await WorldModel.fromPretrained(huge);
	t.teardown(() => model.close());
	await t.rejects(model.score(batch), {
		code: 'EHR_JEPA_NATIVE',
		message: /\[score\] log-probabilities must be finite/,
	});
	await t.rejects(model.embed(batch), { message: /\[embed\] states must be finite/ });
});
