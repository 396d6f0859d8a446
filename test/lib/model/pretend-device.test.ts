/**
 * The engine on a device that is not the host, from the public API: an addon whose `cuda:0` and `cuda:1` are pretend devices
 * (docs/adr/0013). What it gives are the CPU's bits.
 */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { temporaryFolder } from '../../fixtures/temporary-folder.js';

const addon = ['release', 'debug']
	.map((preset) => fileURLToPath(new URL(`../../../../build/${preset}/ehr_jepa_pretend.node`, import.meta.url)))
	.find((file) => existsSync(file));
const skip = addon === undefined && 'build/*/ehr_jepa_pretend.node is not built: npm test builds it';
// Before anything loads another one.
if (addon !== undefined) process.env.EHR_JEPA_ADDON = addon;
const { openTokenStore, objectivePresets, Sampler, Trainer, WorldModel } = await import('../../../lib/index.js');
const { cardOf, deviceNote } = await import('../../../lib/model/device.js');
const { cardLimits } = await import('../../../lib/doctor/card-limits.js');
const { shareOf } = await import('../../../lib/doctor/report.js');
const { nativeAddon } = await import('../../../lib/native.js');
const { main } = await import('../../../lib/cli/main.js');
const { prepareTinyStore, tinyModel } = await import('../../fixtures/tiny-model.js');

const shape = { ...tinyModel, numHiddenLayers: 2 };
const parts = ['encoder', 'target_encoder', 'predictor', 'optimizer'] as const;
const training = {
	model: shape,
	contextTokens: 32,
	futureTokens: 16,
	tokensPerStep: 128,
	threads: 1,
	steps: 4,
	checkpointEvery: 2,
	collapseEvery: 2,
	computeDtype: 'float32',
} as const;

async function storeOf(t: Parameters<typeof temporaryFolder>[0]) {
	const folder = temporaryFolder(t);
	await prepareTinyStore(folder);
	return { folder, store: await openTokenStore(join(folder, 'store')) };
}
const bytesOf = (folder: string) =>
	Promise.all(parts.map((part) => readFile(join(folder, `${part}.safetensors`), 'base64')));

t.test('auto takes the device, and a second one is honoured', { skip }, async (t) => {
	t.match(deviceNote('auto'), /^on cuda:0: Pretend, sm_90/);
	t.match(deviceNote('cuda:1'), /^on cuda:1: Pretend, sm_90, as asked for/);
	t.throws(() => deviceNote('cuda:2'), { code: 'EHR_JEPA_DEVICE', message: /there are 2 \(cuda:0 is Pretend/ });
	await using model = new WorldModel({ shape, vocabSize: 20, device: 'cuda:1' });
	t.equal(model.device, 'cuda:1');
});

t.test('steps, losses, states, scores and files are those of the CPU', { skip }, async (t) => {
	const { folder, store } = await storeOf(t);
	const { size: vocabSize, maskTokenId } = store.vocabulary;
	for (const [preset, branch] of [
		['sft', null],
		['smb-structure', 'masked'],
		['rollout', 'state'],
	] as const) {
		const objective = objectivePresets[preset];
		const sampler = new Sampler(store, 'train', {
			contextTokens: 32,
			futureTokens: 16,
			tokensPerBatch: 128,
			branches: branch === null ? null : { branch: { kind: branch }, cuts: 1 },
			seed: 1,
		} as never);
		const batch = await sampler.batch(1);
		const found = [];
		for (const device of ['cpu', 'cuda:1'] as const) {
			await using model = new WorldModel({
				shape,
				vocabSize,
				maskTokenId,
				threads: 1,
				device,
				...(preset === 'rollout'
					? { predictor: { kind: 'transformer', width: 8, layers: 1, heads: 2, fromState: true } }
					: {}),
			});
			const steps = [];
			for (let step = 1; step <= 2; step++)
				steps.push(await model.step(batch, { learningRate: 1e-2, objective, step, steps: 2, collapseMonitors: true }));
			const states = await model.embed(batch);
			found.push({
				steps,
				losses: await model.losses(batch, { objective, step: 2, steps: 2 }),
				states,
				targetStates: await model.embed(batch, { pooling: 'mean', encoder: 'target_encoder' }),
				scores: await model.score(batch, { withHidden: true }),
				rollout:
					preset === 'rollout'
						? await model.predictLatent(states, new Float32Array(states.length / 16).fill(30))
						: null,
			});
			const out = join(folder, `${preset}-${device.replace(':', '-')}`);
			for (const part of parts) await model.save(part, `${out}-${part}`);
		}
		t.strictSame(found[1], found[0], preset);
		for (const part of parts) {
			const [onHost, onDevice] = await Promise.all(
				['cpu', 'cuda-1'].map((device) => readFile(join(folder, `${preset}-${device}-${part}`), 'base64')),
			);
			t.ok(onDevice === onHost, `${preset}: ${part}`);
		}
	}
	await store.close();
});

t.test('a run moves between devices and goes on with the same bytes', { skip }, async (t) => {
	const { folder, store } = await storeOf(t);
	const train = async (name: string, first: 'cpu' | 'cuda:0' | 'cuda:1', second: 'cpu' | 'cuda:0' | 'cuda:1') => {
		const run = join(folder, name);
		{
			await using trainer = await Trainer.create(run, store, training, { device: first, forbidWaits: true });
			for await (const { step } of trainer.run(store)) if (step === 2) break;
		}
		await using trainer = await Trainer.resume(run, store, { device: second, forbidWaits: true });
		for await (const _ of trainer.run(store));
		return bytesOf(join(run, 'checkpoints', 'step-00000004'));
	};
	const expected = await train('host', 'cpu', 'cpu');
	t.ok(
		(await train('device', 'cuda:1', 'cuda:0')).every((part, i) => part === expected[i]),
		'cuda:1, then cuda:0',
	);
	t.ok(
		(await train('both', 'cuda:1', 'cpu')).every((part, i) => part === expected[i]),
		'cuda:1, then the CPU',
	);
	await store.close();
});

t.test('--device of a command reaches the engine', { skip }, async (t) => {
	const { folder, store } = await storeOf(t);
	await store.close();
	const config = join(folder, 'config.json');
	const { writeFile } = await import('node:fs/promises');
	await writeFile(config, JSON.stringify(training));
	const run = (device: string) =>
		main([
			'train',
			join(folder, 'store'),
			join(folder, device.replace(':', '-')),
			'--config',
			config,
			'--device',
			device,
		]);
	t.equal(await run('cuda:1'), 0);
	t.equal(await run('cpu'), 0);
	t.strictSame(
		await bytesOf(join(folder, 'cuda-1', 'checkpoints', 'step-00000004')),
		await bytesOf(join(folder, 'cpu', 'checkpoints', 'step-00000004')),
	);
});

t.test('memory that runs out is told by kind, and the run goes on where it stood', { skip }, async (t) => {
	const { folder, store } = await storeOf(t);
	const objective = objectivePresets['smb-structure'];
	const config = { ...training, objective };
	const whole = join(folder, 'whole');
	{
		await using trainer = await Trainer.create(whole, store, config, { device: 'cuda:1' });
		for await (const _ of trainer.run(store));
	}
	const run = join(folder, 'run');
	t.teardown(() => delete process.env.EHR_JEPA_PRETEND_MEMORY);
	{
		await using trainer = await Trainer.create(run, store, config, { device: 'cuda:1' });
		const train = async () => {
			for await (const { step } of trainer.run(store)) {
				if (step === 3) process.env.EHR_JEPA_PRETEND_MEMORY = String(cardOf('cuda:1')!.held + 8192);
			}
		};
		const error = await train().catch((cause: unknown) => cause as Error);
		t.match(error, { name: 'OutOfMemoryError', code: 'EHR_JEPA_MEMORY' });
		const { message } = error as Error;
		t.match(message, /^\[train\] step 4 must fit the memory of cuda:1 of .* MiB, of which tensors hold .* MiB between/);
		for (const kind of ['weights', 'target', 'moments', 'predictor', 'gradients', 'activations', 'head'])
			t.match(message, new RegExp(`${kind} [\\d.]+ MiB`));
		t.match(message, /--set tokensPerStep=64 --set microBatches=2 \([\d.]+ MiB less\)/);
		t.match(message, /--set activationCheckpointing=block \([\d.]+ MiB less\)/);
		t.match(message, /The run stands at step 3, and --resume goes on/);
		t.equal(trainer.step, 3);
		delete process.env.EHR_JEPA_PRETEND_MEMORY;
		// The same process, the same state.
		await train();
	}
	const last = ['checkpoints', 'step-00000004'] as const;
	t.strictSame(await bytesOf(join(run, ...last)), await bytesOf(join(whole, ...last)));
	await store.close();
});

t.test('ops on a card: their shares of its limits, and what its tensors hold', { skip }, async (t) => {
	const card = cardOf('cuda:0')!;
	t.equal(cardOf('cpu'), undefined);
	t.ok(card.peak > 0 && card.peak >= card.held && card.peak < card.memory);
	const limits = cardLimits(card)!;
	t.match(limits, { card: 'H100 SXM', by: 'capability' });
	for (const op of await nativeAddon().checkOps({ device: 'cuda:0', quick: true })) {
		t.ok(op.float32Error <= op.float32Limit && op.bfloat16Error <= op.bfloat16Limit, op.name);
		const { flops, bandwidth } = shareOf(op, limits);
		t.ok(bandwidth > 0 && (flops === null) === (op.flops === 0), `${op.name}: its share`);
	}
});
