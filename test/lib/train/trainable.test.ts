import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import {
	exportHuggingFace,
	openModel,
	type StepMetrics,
	type TokenStore,
	type TrainConfigInput,
	Trainer,
	WorldModel,
} from '../../../lib/index.js';
import { LoraOptions, linearMaps } from '../../../lib/model/lora.js';
import { readSafetensorsHeader } from '../../../lib/model/safetensors.js';
import { TrainConfig } from '../../../lib/train/train-config.js';
import { frozenWeights, Trainable } from '../../../lib/train/trainable.js';
import { simulatedStore } from '../../fixtures/simulated-store.js';
import { temporaryFolder } from '../../fixtures/temporary-folder.js';
import { tinyModel } from '../../fixtures/tiny-model.js';

const shape = { ...tinyModel, numHiddenLayers: 2 };
const tiny: TrainConfigInput = {
	model: shape,
	contextTokens: 48,
	futureTokens: 24,
	tokensPerStep: 256,
	steps: 6,
	checkpointEvery: 0,
	tuningEvery: 0,
	tuningBatches: 1,
	collapseEvery: 2,
	// The bounds below are those of float32, whatever this machine prefers.
	computeDtype: 'float32',
	threads: 1,
};
const lora = { kind: 'lora', rank: 4, alpha: 8, dropout: 0.2 } as const;
const { model: _, ...withoutModel } = tiny;

let folder: string;
let store: TokenStore;
t.before(async () => {
	folder = temporaryFolder(t);
	store = await simulatedStore(folder);
	// A base for the runs below, and the same as a HuggingFace folder.
	await using trainer = await Trainer.create(join(folder, 'pretraining'), store, { ...tiny, steps: 2 });
	for await (const _ of trainer.run(store));
	await exportHuggingFace(trainer.model, join(folder, 'base'));
});
t.teardown(() => store.close());

async function train(name: string, config: TrainConfigInput, stopAfter?: number): Promise<StepMetrics[]> {
	await using trainer = await Trainer.create(join(folder, name), store, config);
	const lines: StepMetrics[] = [];
	for await (const line of trainer.run(store)) {
		lines.push(line);
		if (line.step === stopAfter) break;
	}
	return lines;
}
const checkpoint = (name: string, step = 6) =>
	join(folder, name, 'checkpoints', `step-${String(step).padStart(8, '0')}`);

/** Bytes of every tensor of a safetensors file. */
async function tensors(path: string): Promise<Map<string, string>> {
	const bytes = readFileSync(path);
	const { entries } = await readSafetensorsHeader(path);
	return new Map(entries.map(({ name, begin, end }) => [name, bytes.subarray(begin, end).toString('base64')]));
}

async function probeBatch() {
	const tokens = (await store.split('tuning').timeline(0)).tokens.slice(0, 30);
	return { tokens, cuSeqlens: Int32Array.of(0, tokens.length), positionIds: tokens.map((_, i) => i) };
}

t.test('options: defaults of the method, strict, and every mistake named', async (t) => {
	t.same(TrainConfig.parse({}).trainable, { kind: 'full', freeze: [] });
	t.same(Trainable.parse({ kind: 'lora' }), {
		kind: 'lora',
		rank: 64,
		alpha: 128,
		dropout: 0.1,
		targets: [...linearMaps],
	});
	for (const wrong of [
		{ kind: 'lora', freeze: [] },
		{ kind: 'full', rank: 4 },
		{ kind: 'lora', dropout: 1 },
		{ kind: 'lora', rank: 0 },
		{ kind: 'lora', targets: [] },
		{ kind: 'lora', targets: ['lm_head'] },
		{ kind: 'lora', targets: ['q_proj', 'q_proj'] },
		{ kind: 'adapters' },
	]) {
		t.notOk(Trainable.safeParse(wrong).success, JSON.stringify(wrong));
		await t.rejects(Trainer.create(join(folder, 'wrong'), store, { ...tiny, trainable: wrong as never }), {
			code: 'EHR_JEPA_CONFIG',
		});
	}
});

t.test('freeze patterns are globs over whole names', async (t) => {
	const { model } = TrainConfig.parse({ model: { ...shape, numHiddenLayers: 11, tieWordEmbeddings: false } });
	const frozen = (...freeze: string[]) => frozenWeights({ kind: 'full', freeze }, model);
	t.same(frozen(), []);
	t.same(frozen('model.embed_tokens.*'), ['model.embed_tokens.weight']);
	t.equal(frozen('model.layers.1.*').length, 11, 'layer 1 is not layer 10');
	t.equal(frozen('model.layers.?.*').length, 110);
	t.equal(frozen('*.q_proj.weight', 'model.layers.0.*').length, 11 + 10);
	t.same(frozen('lm_head*'), ['lm_head.weight']);
	t.throws(() => frozen('model.embed'), { code: 'EHR_JEPA_CONFIG', message: /"model.embed" matches none of 124/ });
	t.throws(() => frozen('model.norm.weight', 'modelXnorm.weight'), { message: /"modelXnorm.weight" matches none/ });
	t.throws(() => frozen('*'), { code: 'EHR_JEPA_CONFIG', message: /must leave a weight to train .* match all 124/ });
	t.throws(() => frozen('model*', 'lm_head.*'), { message: /match all 124/ });
	await t.rejects(
		Trainer.create(join(folder, 'wrong'), store, { ...tiny, trainable: { kind: 'full', freeze: ['layers'] } }),
		{ code: 'EHR_JEPA_CONFIG', message: /trainable.freeze/ },
	);
});

t.test('frozen weights keep their bytes and have no optimiser state; the run stops and goes on', async (t) => {
	const config: TrainConfigInput = {
		...withoutModel,
		initialWeights: join(folder, 'base'),
		trainable: { kind: 'full', freeze: ['model.embed_tokens.*', 'model.layers.0.*'] },
	};
	await train('frozen', config);
	await train('frozen-broken', config, 3);
	{
		await using trainer = await Trainer.resume(join(folder, 'frozen-broken'), store);
		for await (const _ of trainer.run(store));
	}
	const before = await tensors(join(folder, 'base', 'model.safetensors'));
	for (const part of ['encoder', 'target_encoder']) {
		const after = await tensors(join(checkpoint('frozen'), `${part}.safetensors`));
		t.equal(after.size, before.size);
		for (const [name, bytes] of after) {
			const frozen = name.startsWith('model.embed_tokens.') || name.startsWith('model.layers.0.');
			t.equal(bytes === before.get(name), frozen, `${part}: ${name}`);
		}
	}
	const moments = [...(await tensors(join(checkpoint('frozen'), 'optimizer.safetensors'))).keys()];
	t.equal(moments.length, 3 * (11 + 1 + 4), 'the second layer, the last norm and the predictor');
	t.notOk(moments.some((name) => name.includes('embed_tokens') || name.includes('layers.0.')));
	for (const file of readdirSync(checkpoint('frozen')).filter((name) => name !== 'state.json')) {
		const bytes = (run: string) => readFileSync(join(checkpoint(run), file));
		t.ok(bytes('frozen').equals(bytes('frozen-broken')), `${file} is the same`);
	}
});

t.test('LoRA: adapters, their EMA, moments and predictor are the checkpoint; the base keeps its bytes', async (t) => {
	const lines = await train('lora', { ...withoutModel, initialWeights: join(folder, 'base'), trainable: lora });
	t.ok(lines.every(({ loss, gradientNorm }) => Number.isFinite(loss) && gradientNorm > 0));
	t.ok(lines.at(-1)!.collapse!.targetEncoderDistance > 0);
	t.same(readdirSync(checkpoint('lora')).sort(), [
		'adapters.safetensors',
		'optimizer.safetensors',
		'predictor.safetensors',
		'state.json',
		'target_adapters.safetensors',
	]);
	const [adapters, target] = await Promise.all(
		['adapters', 'target_adapters'].map((part) => tensors(join(checkpoint('lora'), `${part}.safetensors`))),
	);
	t.equal(adapters!.size, 2 * 7 * 2);
	t.ok(adapters!.has('base_model.model.model.layers.1.mlp.down_proj.lora_B.weight'));
	t.same([...target!.keys()], [...adapters!.keys()]);
	t.ok([...adapters!].every(([name, bytes]) => target!.get(name) !== bytes));
	const { model, step } = await openModel(join(folder, 'lora'));
	t.equal(step, 6);
	t.equal(
		model.parameterCount,
		4 * 2 * (4 * 16 + 2 * 8 + 16 + 16 + 3 * (16 + 32)) + (2 * 16 * 32 + 32 + 16),
		'trainable scalars are those of adapters and predictor',
	);
	// Without its adapters it is the base.
	const batch = await probeBatch();
	const base = await WorldModel.fromPretrained(join(folder, 'base'));
	t.notSame(await model.embed(batch), await base.embed(batch));
	t.notSame(await model.embed(batch, { encoder: 'target_encoder' }), await model.embed(batch));
	const initial = await openModel(join(folder, 'lora'), { weights: 'initial' });
	t.same(await initial.model.embed(batch), await base.embed(batch));
	for (const opened of [model, base, initial.model]) await opened.close();
});

t.test('LoRA: every objective, micro-batches and bfloat16 stop and go on with the same bytes', async (t) => {
	const variants: Record<string, TrainConfigInput> = {
		both: { trainable: { ...lora, targets: ['q_proj', 'v_proj'] }, microBatches: 2, model: shape },
		sft: { trainable: lora, objective: { latent: null }, computeDtype: 'bfloat16', model: shape },
		jepa: { trainable: lora, objective: { nextToken: null }, initialWeights: join(folder, 'base') },
		curriculum: {
			trainable: lora,
			objective: { schedule: { kind: 'curriculum' }, latent: { interferenceEvery: 1 } },
			computeDtype: 'bfloat16',
			microBatches: 2,
			initialWeights: join(folder, 'base'),
		},
		online: { trainable: lora, objective: { latent: { target: { kind: 'online' } } }, model: shape },
	};
	for (const [name, variant] of Object.entries(variants)) {
		const config = { ...withoutModel, ...variant };
		const straight = await train(`${name}-straight`, config);
		const broken = await train(`${name}-broken`, config, 3);
		{
			await using trainer = await Trainer.resume(join(folder, `${name}-broken`), store);
			for await (const line of trainer.run(store)) broken.push(line);
		}
		t.same(
			broken.map(({ loss }) => loss),
			straight.map(({ loss }) => loss),
			`${name}: the same losses`,
		);
		for (const file of readdirSync(checkpoint(`${name}-straight`)).filter((entry) => entry !== 'state.json')) {
			const bytes = (run: string) => readFileSync(join(checkpoint(run), file));
			t.ok(bytes(`${name}-straight`).equals(bytes(`${name}-broken`)), `${name}: ${file} is the same`);
		}
		if (name === 'sft')
			t.same(readdirSync(checkpoint('sft-straight')).sort(), [
				'adapters.safetensors',
				'optimizer.safetensors',
				'state.json',
			]);
		if (name === 'curriculum')
			t.same(
				straight.map(({ interference }) => interference !== undefined),
				[false, false, false, true, true, true],
			);
	}
});

t.test('LoRA merged into a HuggingFace folder computes what base and adapters compute', async (t) => {
	const { model } = await openModel(join(folder, 'lora'), { baseDtype: 'float32' });
	const summary = await exportHuggingFace(model, join(folder, 'merged'), { parts: ['predictor', 'target_encoder'] });
	t.equal(summary.tensors, 24);
	const batch = await probeBatch();
	const merged = await WorldModel.fromPretrained(join(folder, 'merged'));
	const [found, expected] = [await merged.embed(batch), await model.embed(batch)];
	t.ok(found.every((value, i) => Math.abs(value - expected[i]!) < 1e-5));
	t.notOk(
		found.every((value, i) => value === expected[i]),
		'not the same sums',
	);
	const [before, after] = await Promise.all(
		['base', 'merged'].map((name) => tensors(join(folder, name, 'model.safetensors'))),
	);
	for (const [name, bytes] of after!)
		t.equal(bytes !== before!.get(name), /_proj\.weight$/.test(name), `${name}: only adapted maps change`);
	t.same(
		[...(await tensors(join(folder, 'merged', 'target_encoder.safetensors'))).keys()],
		[...before!.keys()],
		'the EMA encoder is merged too',
	);
	const shards = await exportHuggingFace(model, join(folder, 'shards'), { maxShardSize: '10KB' });
	t.equal(shards.tensors, 24);
	t.equal(shards.bytes, summary.bytes);
	for (const opened of [merged, model]) await opened.close();
});

t.test('LoRA alone, as peft opens it', async (t) => {
	const { model } = await openModel(join(folder, 'lora'));
	const base = join(folder, 'base');
	const { files, tensors: count } = await exportHuggingFace(model, join(folder, 'adapter'), {
		adapters: 'peft',
		baseModel: base,
		parts: ['predictor', 'target_encoder'],
	});
	t.same(
		files.map(({ name }) => name),
		['adapter_config.json', 'adapter_model.safetensors', 'predictor.safetensors', 'target_encoder.safetensors'],
	);
	t.equal(count, 28);
	t.match(JSON.parse(readFileSync(join(folder, 'adapter', 'adapter_config.json'), 'utf8')), {
		peft_type: 'LORA',
		task_type: 'CAUSAL_LM',
		base_model_name_or_path: base,
		r: 4,
		lora_alpha: 8,
		lora_dropout: 0.2,
		target_modules: [...linearMaps],
		bias: 'none',
		fan_in_fan_out: false,
		inference_mode: true,
	});
	const again = await WorldModel.fromPretrained(base, { lora: LoraOptions.parse({ rank: 4, alpha: 8 }) });
	await again.load('adapters', join(folder, 'adapter', 'adapter_model.safetensors'));
	const batch = await probeBatch();
	t.same(await again.embed(batch), await model.embed(batch));
	await again.close();
	const refused = (name: string, options: object, message: RegExp) =>
		t.rejects(exportHuggingFace(model, join(folder, name), options), { code: 'EHR_JEPA_CONFIG', message });
	await refused('x', { adapters: 'peft' }, /needs baseModel/);
	await refused('x', { baseModel: base }, /baseModel.*belongs to adapters "peft"/);
	await model.close();
	const plain = await WorldModel.fromPretrained(base);
	await t.rejects(exportHuggingFace(plain, join(folder, 'x'), { adapters: 'peft', baseModel: base }), {
		code: 'EHR_JEPA_CONFIG',
		message: /needs a model trained with LoRA/,
	});
	await t.rejects(plain.load('adapters', join(folder, 'adapter', 'adapter_model.safetensors')), {
		code: 'EHR_JEPA_NATIVE',
		message: /adapters belong to a model with lora/,
	});
	await plain.close();
	t.notOk(readdirSync(folder).includes('x'), 'nothing is left of a refused export');
});

t.test('a LoRA run needs the base it began with, and says so', async (t) => {
	const weights = join(folder, 'base', 'model.safetensors');
	const bytes = readFileSync(weights);
	const changed = Buffer.from(bytes);
	changed[changed.length - 5]! ^= 1;
	writeFileSync(weights, changed);
	const openers: (() => Promise<unknown>)[] = [
		() => openModel(join(folder, 'lora')),
		() => Trainer.resume(join(folder, 'lora'), store),
	];
	for (const open of openers) {
		await t.rejects(open(), { code: 'EHR_JEPA_CHECKPOINT', message: /must hold the weights the run began with/ });
	}
	writeFileSync(weights, bytes);
	const { model } = await openModel(join(folder, 'lora'));
	await model.close();
});
