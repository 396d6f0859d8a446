import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import t from 'tap';
import { nativeShape, Qwen3Shape } from '../../lib/model/qwen3-config.js';
import { nativeStepOptions, StepOptions } from '../../lib/model/step-options.js';
import { WorldModel } from '../../lib/model/world-model.js';
import { nativeAddon } from '../../lib/native.js';
import { nativeBatch, plainStep } from '../fixtures/native-batch.js';
import { tinyModel } from '../fixtures/tiny-model.js';

const shape = Qwen3Shape.parse({ ...tinyModel, numHiddenLayers: 2 });
const create = (more: Partial<ConstructorParameters<typeof WorldModel>[0]> = {}) =>
	new WorldModel({ shape, vocabSize: 20, maskTokenId: 1, seed: 1, ...more });

const batchOf = (sequences: number, length: number) => nativeBatch(sequences, length, 20);
const options = plainStep;

t.test('the addon has exactly the functions of its contract', async (t) => {
	const addon = nativeAddon();
	t.same(Object.keys(addon).sort(), [
		'Engine',
		'ProcessGroup',
		'buildInfo',
		'checkOps',
		'contract',
		'devices',
		'fitBoosting',
		'fitCox',
		'fitHazard',
		'fitLogistic',
		'fitMultinomial',
		'fitRidge',
		'prepareExit',
		'resample',
		'weightShapes',
	]);
	t.same(Object.getOwnPropertyNames(addon.Engine.prototype).sort(), [
		'cancel',
		'close',
		'constructor',
		'embed',
		'gatherModel',
		'join',
		'load',
		'losses',
		'parameterCount',
		'predictLatent',
		'releaseModel',
		'save',
		'score',
		'snapshot',
		'step',
		'trace',
	]);
	t.match(addon.buildInfo(), { version: /^\d/, torch: /^2\.1[34]\./ });
});

t.test('bad arguments are typed errors with the caller in the stack', async (t) => {
	await using model = create();
	const batch = batchOf(2, 6);
	const error = await model
		.step({ ...batch, cuSeqlens: Int32Array.of(0, 6, 11) }, options)
		.catch((cause: Error) => cause);
	t.match(error, {
		code: 'EHR_JEPA_NATIVE',
		message: '[batch] cu_seqlens must end at total_tokens (12) but ends at 11',
	});
	t.match((error as Error).stack, /world-model/);
	await t.rejects(model.step(batch, { ...options, temperature: 1 } as never), {
		code: 'EHR_JEPA_CONFIG',
		message: '[step] options has no option "temperature"',
	});
	await t.rejects(model.load('encoder', 'no-such-file'), {
		code: 'EHR_JEPA_CHECKPOINT',
		message: /cannot be read \(nothing with that name\)/,
	});
	await t.rejects(model.save('encoder', '/no/such/folder/x'), { message: /No such file or directory/ });
	t.throws(() => create({ maskTokenId: 20 }), {
		code: 'EHR_JEPA_CONFIG',
		message: '[world model] maskTokenId: must lie in the vocabulary, but it is 20',
	});
	t.throws(() => create({ shape: { ...shape, numKeyValueHeads: 3 } }), {
		message: /numKeyValueHeads: must divide numAttentionHeads, but it is 3/,
	});
	const { loss } = await model.step(batch, options);
	t.ok(Number.isFinite(loss), 'the model still works');
});

t.test('the border names the argument, the rule and what it found, and knows no other field', async (t) => {
	const engine = new (nativeAddon().Engine)({
		config: nativeShape(shape, 20),
		predictor: { kind: 'mlp', width: 8, layers: 0, heads: 0, fromState: false },
		computeDtype: 'float32',
		parameterDtype: 'float32',
		stochasticRounding: false,
		activationCheckpointing: 'none',
		lora: null,
		frozen: [],
		encoderFromFiles: false,
		deterministic: true,
		seed: 1,
		threads: 0,
		device: 'cpu',
	});
	const { subjectIds: _, ...batch } = { subjectIds: 0, ...batchOf(2, 6) };
	const { tokens, cuSeqlens, positionIds } = batch;
	const pack = { tokens, cuSeqlens, positionIds };
	const native = nativeStepOptions(StepOptions.parse(options));
	let job = 0;
	const refused = (message: string | RegExp, change: object, batches: unknown = [batch]) =>
		t.throws(() => engine.step(++job, batches as never, { ...native, ...change } as never), { message });
	refused('[step] batches[0].tokens must be an Int32Array but is an array', {}, [{ ...batch, tokens: [1] }]);
	refused(/^\[step\] batches\[0\] has no field "subjectIds"; it has tokens, /, {}, [{ ...batch, subjectIds: 1 }]);
	refused('[step] batches must be an array but is null', {}, null);
	refused('[step] options.nextTokenOn must be one of future, all but is "past"', { nextTokenOn: 'past' });
	refused('[step] options.step must be an integer in [0, 4294967295] but is 4294967296', { step: 2 ** 32 });
	refused('[step] options.seed must be an integer in [0, 9007199254740991] but is 0.5', { seed: 0.5 });
	refused('[step] options.withInterference must be a boolean but is undefined', { withInterference: undefined });
	refused('[step] options.optimizer.learningRate must be a finite number but is NaN', {
		optimizer: { ...native.optimizer, learningRate: Number.NaN },
	});
	refused(/^\[step\] options has no field "temperature"; it has nextTokenWeight, /, { temperature: 1 });
	refused(/^\[step\] options.latent has no field "tau"/, { latent: { ...native.latent, tau: 1 } });
	const latent = { ...native.latent, antiCollapse: { spread: 1 } };
	await t.rejects(engine.step(++job, [batch], { ...native, latent }), {
		message: '[latent] anti-collapse terms must be of variance, covariance, sigreg but one is spread',
	});
	await t.rejects(engine.step(++job, [batch], { ...native, latentWeight: 0, nextTokenWeight: 0 }), {
		message: /must be above 0 but both are 0/,
	});
	t.throws(
		() => engine.embed(++job, pack, 'max' as never, 'encoder', Int32Array.of(1), Int32Array.of(2)),
		/pooling must be one of last, mean/,
	);
	await engine.close();
});

t.test('calls run in order and the event loop stays free', async (t) => {
	await using model = create({ shape: { ...shape, hiddenSize: 64, intermediateSize: 256 } });
	const batch = batchOf(16, 128);
	await model.step(batch, options);
	let ticks = 0;
	const timer = setInterval(() => ticks++, 1);
	const losses = await Promise.all([1, 2, 3].map(() => model.step(batch, options)));
	clearInterval(timer);
	t.ok(ticks > 3, `${ticks} timer ticks while three steps ran`);
	t.ok(losses[2]!.loss < losses[0]!.loss, 'in order');
});

t.test('an abort leaves the state as it was; close rejects what is left', async (t) => {
	const model = create({ shape: { ...shape, hiddenSize: 64, intermediateSize: 512, numHiddenLayers: 8 } });
	const batch = batchOf(16, 128);
	const before = await model.embed(batch);
	const controller = new AbortController();
	const step = model.step(batch, options, controller.signal);
	setTimeout(() => controller.abort(), 5);
	await t.rejects(step, { name: 'AbortError', code: 'ABORT_ERR' });
	t.same(await model.embed(batch), before);
	await t.rejects(model.step(batch, options, AbortSignal.abort()), { code: 'ABORT_ERR' });
	const pending = model.step(batch, options);
	const closed = model.close();
	await t.rejects(pending, { code: 'ABORT_ERR' });
	await closed;
	await model.close();
	await t.rejects(model.embed(batch), { message: /the model was closed/ });
});

t.test('same seed, same numbers; pooling and both encoders differ', async (t) => {
	await using one = create();
	await using same = create();
	await using other = create({ seed: 2 });
	const batch = batchOf(2, 6);
	t.same(await one.embed(batch), await same.embed(batch));
	t.not((await one.embed(batch)).join(), (await other.embed(batch)).join());
	t.not((await one.embed(batch)).join(), (await one.embed(batch, { pooling: 'mean' })).join());
	t.same(await one.embed(batch), await one.embed(batch, { encoder: 'target_encoder' }), 'equal before training');
	await one.step(batch, options);
	t.not((await one.embed(batch)).join(), (await one.embed(batch, { encoder: 'target_encoder' })).join());
});

t.test('it loads in worker threads, also twice, and a worker can be terminated during a step', async (t) => {
	const file = fileURLToPath(new URL('../fixtures/step-in-worker.js', import.meta.url));
	const loss = (worker: Worker) =>
		new Promise<number>((resolve, reject) => {
			worker.once('message', resolve);
			worker.once('error', reject);
		});
	const workers = [new Worker(file), new Worker(file)];
	const [a, b] = await Promise.all(workers.map(loss));
	t.equal(a, b);
	t.same(await Promise.all(workers.map((worker) => worker.terminate())).then((codes) => codes.length), 2);
});

t.test('memory stays flat over many steps', async (t) => {
	await using model = create();
	const batch = batchOf(4, 16);
	for (let i = 0; i < 300; i++) await model.step(batch, options);
	const before = process.memoryUsage().rss;
	for (let i = 0; i < 1000; i++) await model.step(batch, options);
	const grown = (process.memoryUsage().rss - before) / 2 ** 20;
	t.ok(grown < 24, `grew by ${grown.toFixed(1)} MiB in 1,000 steps`);
});
