import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { planShards } from '../../../lib/export/shards.js';
import { exportHuggingFace, WorldModel } from '../../../lib/index.js';
import { openPretrained } from '../../../lib/model/pretrained.js';
import { readSafetensorsHeader } from '../../../lib/model/safetensors.js';
import { temporaryFolder } from '../../fixtures/temporary-folder.js';

const folder = temporaryFolder(t);
const fixture = (name: string) => fileURLToPath(new URL(`../../../../test/fixtures/parity/${name}`, import.meta.url));

/** Bytes of every tensor by name. */
async function tensorBytes(directory: string): Promise<Map<string, string>> {
	const { entries } = await openPretrained(directory);
	return new Map(
		entries.map(({ name, path, begin, end }) => [name, readFileSync(path).subarray(begin, end).toString('base64')]),
	);
}

t.test('weights in and out again are the same bytes, in one file and in shards', async (t) => {
	for (const name of ['gqa-tied', 'one-kv-head-untied']) {
		const model = await WorldModel.fromPretrained(fixture(name));
		const whole = await exportHuggingFace(model, join(folder, name));
		t.same(
			whole.files.map(({ name }) => name),
			['config.json', 'generation_config.json', 'model.safetensors'],
		);
		const shards = await exportHuggingFace(model, join(folder, `${name}-shards`), { maxShardSize: '9KB' });
		t.ok(shards.files.filter(({ name }) => /^model-0000\d-of-0000\d\.safetensors$/.test(name)).length > 2);
		const before = await tensorBytes(fixture(name));
		t.same(await tensorBytes(whole.directory), before);
		t.same(await tensorBytes(shards.directory), before);
		t.equal(
			shards.bytes,
			[...before.values()].reduce((sum, text) => sum + Buffer.from(text, 'base64').length, 0),
		);
		await model.close();
	}
});

t.test('bfloat16 parameters are stored as they are, and another dtype is a choice', async (t) => {
	const model = await WorldModel.fromPretrained(fixture('gqa-tied'), { parameterDtype: 'bfloat16' });
	await exportHuggingFace(model, join(folder, 'bf16'));
	await exportHuggingFace(model, join(folder, 'f16'), { dtype: 'float16' });
	await model.close();
	const dtypes = async (name: string) =>
		new Set((await readSafetensorsHeader(join(folder, name, 'model.safetensors'))).entries.map(({ dtype }) => dtype));
	t.same([...(await dtypes('bf16'))], ['bfloat16']);
	t.same([...(await dtypes('f16'))], ['float16']);
	t.equal((await openPretrained(join(folder, 'bf16'))).config.dtype, 'bfloat16');
	const again = await WorldModel.fromPretrained(join(folder, 'bf16'), { parameterDtype: 'bfloat16' });
	await exportHuggingFace(again, join(folder, 'bf16-again'));
	await again.close();
	t.same(await tensorBytes(join(folder, 'bf16-again')), await tensorBytes(join(folder, 'bf16')));
});

t.test('what belongs to a model travels with it', async (t) => {
	const tokenizer = join(folder, 'tokenizer');
	mkdirSync(tokenizer);
	for (const name of ['tokenizer.json', 'tokenizer_config.json', 'pytorch_model.bin'])
		writeFileSync(join(tokenizer, name), name);
	const model = await WorldModel.fromPretrained(fixture('gqa-tied'), { maskTokenId: 60 });
	const { files } = await exportHuggingFace(model, join(folder, 'all'), {
		tokenizer,
		parts: ['predictor', 'target_encoder'],
		card: '# A model\n',
		tokens: { eos: [3, 4], pad: 3 },
	});
	t.same(
		files.map(({ name }) => name),
		[
			'README.md',
			'config.json',
			'generation_config.json',
			'model.safetensors',
			'predictor.safetensors',
			'target_encoder.safetensors',
			'tokenizer.json',
			'tokenizer_config.json',
		],
	);
	t.match(JSON.parse(readFileSync(join(folder, 'all', 'generation_config.json'), 'utf8')), {
		eos_token_id: [3, 4],
		pad_token_id: 3,
	});
	t.equal((await openPretrained(join(folder, 'all'))).config.maskTokenId, 60, 'the mask token is recorded');
	const again = await WorldModel.fromPretrained(join(folder, 'all'));
	t.equal(again.options.maskTokenId, 60);
	const saved = join(folder, 'again.safetensors');
	await again.save('predictor', saved);
	t.same(readFileSync(saved), readFileSync(join(folder, 'all', 'predictor.safetensors')), 'the predictor comes back');
	await again.close();
	rmSync(join(folder, 'all', 'predictor.safetensors'));
	await t.rejects(WorldModel.fromPretrained(join(folder, 'all')), { code: 'EHR_JEPA_CHECKPOINT' }, 'it was promised');
	await model.close();
});

t.test('a refused export leaves nothing', async (t) => {
	const model = await WorldModel.fromPretrained(fixture('gqa-tied'));
	const before = readdirSync(folder).sort();
	const out = join(folder, 'refused');
	await t.rejects(exportHuggingFace(model, out, { maxShardSize: 'much' }), {
		code: 'EHR_JEPA_CONFIG',
		message: /maxShardSize/,
	});
	await t.rejects(exportHuggingFace(model, out, { tokenizer: folder }), {
		code: 'EHR_JEPA_CONFIG',
		message: /tokenizer must be a folder with/,
	});
	await t.rejects(exportHuggingFace(model, out, { files: ['nowhere'] }), {
		code: 'EHR_JEPA_CONFIG',
		message: /files must be readable/,
	});
	await t.rejects(exportHuggingFace(model, join(folder, 'all')), {
		code: 'EHR_JEPA_OUTPUT',
		message: /must be empty or absent/,
	});
	await model.close();
	t.same(readdirSync(folder).sort(), before);
});

t.test('shards: every tensor once, in order, no larger than the limit unless alone', async (t) => {
	const sizes = new Map(Array.from({ length: 20 }, (_, i) => [`t${i}`, 6 * (i + 1)]));
	const shards = planShards(sizes, 40);
	t.same(shards.flat(), [...sizes.keys()]);
	const total = (shard: readonly string[]) => shard.reduce((sum, name) => sum + sizes.get(name)!, 0);
	for (const shard of shards) t.ok(shard.length === 1 || total(shard) <= 40);
	t.same(planShards(sizes, 1e9).length, 1);
});
