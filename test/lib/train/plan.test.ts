/** What a run takes is told before anything is allocated, and one that cannot fit is refused. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import {
	modelSizes,
	objectivePresets,
	openTokenStore,
	planTraining,
	prepareStore,
	simulateCohort,
	Trainer,
} from '../../../lib/index.js';
import { Sampler } from '../../../lib/sample/sampler.js';
import { fullFutureShare } from '../../../lib/train/batch-rows.js';
import { requireMemory, whatWouldFit } from '../../../lib/train/fit.js';
import { largestFutureShare } from '../../../lib/train/future-share.js';
import { planMemory } from '../../../lib/train/memory-plan.js';
import { presetConfig, trainPresets } from '../../../lib/train/presets.js';
import { TrainConfig, type TrainConfigInput } from '../../../lib/train/train-config.js';
import { runCli } from '../../fixtures/run-cli.js';
import { simulatedStore } from '../../fixtures/simulated-store.js';
import { temporaryFolder } from '../../fixtures/temporary-folder.js';
import { tinyModel } from '../../fixtures/tiny-model.js';

const vocabSize = 151_936;
const parameters = 1_720_574_976;
const large: TrainConfigInput = { model: modelSizes['qwen3-1.7b'], tokensPerStep: 1024 };
const planOf = (config: TrainConfigInput) => planMemory(TrainConfig.parse(config), vocabSize);

t.test('weights, EMA and moments are exact: 16 bytes a parameter, 8 in bfloat16', async (t) => {
	const wide = planOf(large);
	t.equal(wide.weights, 4 * parameters);
	t.equal(wide.target, 4 * parameters);
	t.equal(wide.moments, 8 * parameters);
	t.equal(wide.gradients, 4 * parameters);
	const narrow = planOf({ ...large, parameterDtype: 'bfloat16', computeDtype: 'bfloat16' });
	t.equal(narrow.weights + narrow.target + narrow.moments, 8 * parameters);
	t.equal(narrow.casts, 0, 'the compute dtype is that of the parameters');
	const lora = planOf({ ...large, computeDtype: 'bfloat16', trainable: { kind: 'lora' } });
	t.equal(lora.target, 4 * 69_730_304, 'rank 64 on all seven maps');
});

t.test('each option that saves memory does', async (t) => {
	for (const change of [
		{ activationCheckpointing: 'block' },
		{ activationCheckpointing: 'selective' },
		{ parameterDtype: 'bfloat16' },
		{ checkpointCopy: false },
		{ optimizer: { updateInBackward: true, clipBy: 'parameter' } },
		{ trainable: { kind: 'lora' } },
	] as const) {
		// Gradients are what few tokens leave, activations what many do.
		const tokensPerStep = 'optimizer' in change ? 1024 : 32_768;
		const config: TrainConfigInput = { ...large, computeDtype: 'bfloat16', tokensPerStep };
		t.ok(planOf({ ...config, ...change }).peak < planOf(config).peak, JSON.stringify(change));
	}
});

t.test('the copy for a checkpoint lies beside a step, but for that of the last step', async (t) => {
	const config: TrainConfigInput = { ...large, computeDtype: 'bfloat16', steps: 10 };
	const without = planOf({ ...config, checkpointCopy: false, checkpointEvery: 1 }).peak;
	const beside = planOf({ ...config, checkpointEvery: 1 });
	t.ok(beside.peak > without + beside.checkpoint, 'and what the allocator holds of it');
	for (const checkpointEvery of [0, 10, 100])
		t.equal(
			planOf({ ...config, tokensPerStep: 65_536, checkpointEvery }).peak,
			planOf({ ...config, tokensPerStep: 65_536, checkpointCopy: false }).peak,
		);
	t.ok(planOf({ ...config, checkpointEvery: 0 }).peak < beside.peak);
});

t.test('a plan with a store counts the rows of its largest batch, not those of full windows', async (t) => {
	const store = await simulatedStore(temporaryFolder(t));
	t.teardown(() => store.close());
	const config = TrainConfig.parse({ model: tinyModel, contextTokens: 64, futureTokens: 16, tokensPerStep: 512 });
	const share = await largestFutureShare(store, config);
	const full = fullFutureShare(config);
	t.equal(full, 0.2);
	t.ok(share > full && share <= 1, `${share}`);
	const shares = [];
	for await (const { tokens, contextLengths } of new Sampler(store, 'train', {
		contextTokens: 64,
		futureTokens: 16,
		tokensPerBatch: 512,
		seed: config.seed,
		branches: null,
	}).batches(1, 64))
		shares.push((tokens.length - contextLengths.reduce((sum, length) => sum + length, 0)) / 512);
	t.equal(share, Math.max(...shares));
	t.equal(await largestFutureShare(store, { ...config, steps: 1 }), shares[0], 'of the steps that the run makes');
	const size = store.vocabulary.size;
	const [alone, known] = [await planTraining(config, size), await planTraining(config, size, { store })];
	t.ok(known.memory.activations > alone.memory.activations);
	t.equal(known.memory.peak, planMemory(config, size, { futureShare: share }).peak);
	t.throws(() => requireMemory(config, size, { limit: alone.memory.peak, futureShare: share }), {
		code: 'EHR_JEPA_CONFIG',
	});
});

t.test('the preset is all of the 1.7B model in at most 20 GiB', async (t) => {
	const config = TrainConfig.parse(presetConfig('qwen3-1.7b-24gib', { withModel: true }));
	t.match(config.trainable, { kind: 'full', freeze: [] });
	t.match(config.objective.latent?.target, { kind: 'ema' });
	t.ok(planMemory(config, vocabSize).peak <= 20 * 2 ** 30, `${planMemory(config, vocabSize).peak}`);
	t.notOk('model' in presetConfig('qwen3-1.7b-24gib', { withModel: false }), 'a folder to start from says the shape');
	t.equal(trainPresets['qwen3-1.7b-24gib'].model, modelSizes['qwen3-1.7b']);
});

t.test('a run that cannot fit is refused with what would fit', async (t) => {
	const config = TrainConfig.parse(large);
	const limit = 24 * 2 ** 30;
	const saving = whatWouldFit(config, vocabSize, limit)!;
	t.ok(saving.peak <= limit);
	t.throws(() => requireMemory(config, vocabSize, { limit }), {
		code: 'EHR_JEPA_CONFIG',
		message:
			/must fit the machine's memory of 24\.0 GiB but would take .* GiB at its peak; --set .*--set parameterDtype=bfloat16 would bring it to/,
	});
	t.throws(() => requireMemory(config, vocabSize, { limit: 2 ** 30 }), { message: /take a smaller model/ });
	t.doesNotThrow(() => requireMemory(TrainConfig.parse({}), 500, { limit }));
});

t.test('Trainer.create refuses before it writes or allocates; plan on the command line', async (t) => {
	const folder = temporaryFolder(t);
	await simulateCohort(join(folder, 'cohort'), { patients: 20, seed: 1 });
	await prepareStore(join(folder, 'cohort'), join(folder, 'store'));
	const store = await openTokenStore(join(folder, 'store'));
	t.teardown(() => store.close());
	const run = join(folder, 'run');
	const huge = { model: { ...modelSizes['qwen3-1.7b'], numHiddenLayers: 3000 } };
	await t.rejects(Trainer.create(run, store, huge), {
		code: 'EHR_JEPA_CONFIG',
		message: /must fit the machine's memory/,
	});
	t.notOk(existsSync(run));
	const cli = await runCli(t, ['plan', '--store', join(folder, 'store'), '--size', 'tiny', '--json']);
	t.equal(cli.status, 0);
	const plan = JSON.parse(cli.stdout);
	t.match(plan, { device: 'cpu', basis: 'measured', fits: true, vocabSize: store.vocabulary.size });
	t.ok(plan.secondsPerStep > 0);
	for (const [args, message] of [
		[['--size', 'demo'], /the vocabulary must be known/],
		[['--size', 'demo', '--vocab-size', '0'], /--vocab-size must be a positive whole number but is 0/],
		[['--size', 'qwen3-1.7b', '--gpus', '2'], /--gpus must be 1 on the CPU/],
		[['--size', 'qwen3-1.7b', '--device', 'h100', '--gpus', '513'], /--gpus must be a whole number from 1 to 512/],
	] as const) {
		const refused = await runCli(t, ['plan', ...args]);
		t.equal(refused.status, 2);
		t.match(refused.stderr, message);
	}
});

t.test('GPUs: analytic, and more of them share moments, EMA and gradients', async (t) => {
	const config: TrainConfigInput = { ...large, tokensPerStep: 65_536, computeDtype: 'bfloat16' };
	const planOn = (devices: number, kind: 'ddp' | 'zero1' | 'zero2' | 'zero3') =>
		planTraining({ ...config, parallel: { kind } }, vocabSize, { device: 'h100', devices });
	const [one, ddp, zero1, zero2, zero3] = [
		await planOn(1, 'ddp'),
		await planOn(4, 'ddp'),
		await planOn(4, 'zero1'),
		await planOn(4, 'zero2'),
		await planOn(4, 'zero3'),
	];
	t.equal(one.basis, 'analytic');
	t.equal(one.traffic.gradients, 0);
	for (const { memory, traffic, tokensPerUpdate } of [ddp, zero1, zero2]) {
		t.equal(memory.weights, 4 * parameters, 'every rank has the parameters');
		t.equal(tokensPerUpdate, 65_536, 'of all together');
		t.ok(traffic.gradients > 0);
	}
	t.equal(ddp.memory.moments, 8 * parameters);
	for (const { memory } of [zero1, zero2]) {
		t.equal(memory.moments, 2 * parameters);
		t.equal(memory.target, parameters);
	}
	t.ok(zero1.memory.peak < ddp.memory.peak && zero2.memory.peak <= zero1.memory.peak);
	t.ok(zero2.memory.gradients < 0.3 * zero1.memory.gradients);
	t.equal(zero3.memory.weights, parameters);
	t.equal(zero3.memory.gradients, zero2.memory.gradients);
	t.ok(zero3.memory.casts < 0.4 * zero2.memory.casts, 'blocks come and go');
	t.ok(zero3.memory.peak < zero2.memory.peak);
	t.ok(zero3.traffic.target === zero2.traffic.target && zero3.traffic.gradients === zero2.traffic.gradients);
	t.ok(ddp.secondsPerStep < one.secondsPerStep && ddp.secondsPerStep > one.secondsPerStep / 4.001);
	const [few, many] = [await planOn(8, 'zero2'), await planOn(512, 'zero2')];
	t.equal(many.memory.moments, 8 * 311_164_928, 'no less than the largest parameter has: they are dealt whole');
	t.ok(
		few.secondsPerStep < one.secondsPerStep / 4 && many.secondsPerStep > few.secondsPerStep,
		'the network is slower',
	);
	t.ok(many.traffic.gradients > few.traffic.gradients);
});

t.test(
	'a card of 80 GB trains the whole 1.7B model with 16 k tokens a step, and a run that it cannot hold is told what fits',
	async (t) => {
		const config: TrainConfigInput = { model: modelSizes['qwen3-1.7b'], tokensPerStep: 16_384 };
		const on = (more: TrainConfigInput) => planTraining({ ...config, ...more }, vocabSize, { device: 'h100' });
		t.ok((await on({ objective: objectivePresets.sft })).fits);
		const masked = await on({});
		t.notOk(masked.fits);
		t.same(masked.saving?.settings, ['activationCheckpointing=selective']);
		const selective = await on({ activationCheckpointing: 'selective' });
		t.ok(selective.fits);
		t.equal(selective.memory.peak, masked.saving?.peak);
		t.equal(selective.memory.checkpoint, 0, 'the copy is in the memory of the host');
		t.equal((await on({ tokensPerStep: 1_000_000 })).saving, null);
	},
);

t.test('the time of every kind of run is measured on a part of it', async (t) => {
	const tiny: TrainConfigInput = { model: { ...tinyModel, numHiddenLayers: 2 }, tokensPerStep: 256, threads: 1 };
	const runs: readonly TrainConfigInput[] = [
		...Object.values(objectivePresets).map((objective) => ({ ...tiny, objective })),
		{ ...tiny, trainable: { kind: 'lora', rank: 2 } },
		{ ...tiny, trainable: { kind: 'full', freeze: ['model.embed_tokens.*', 'model.layers.0.*'] } },
		{ ...tiny, microBatches: 2, activationCheckpointing: 'selective' },
		{ ...tiny, parameterDtype: 'bfloat16', optimizer: { clipBy: 'parameter', updateInBackward: true } },
	];
	for (const config of runs) {
		const { secondsPerStep } = await planTraining(config, 100);
		t.ok(secondsPerStep > 0 && Number.isFinite(secondsPerStep), JSON.stringify(config));
	}
	// Only what is larger than a few seconds is scaled: the part then has fewer layers, and what is frozen outside it is no matter.
	const wide = { ...tinyModel, hiddenSize: 512, intermediateSize: 2048, numHiddenLayers: 64 };
	const freeze = ['model.layers.63.*'];
	const { secondsPerStep } = await planTraining(
		{ ...tiny, model: wide, tokensPerStep: 2048, trainable: { kind: 'full', freeze } },
		50_000,
	);
	t.ok(secondsPerStep > 1);
});
