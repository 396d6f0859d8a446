/** `optimizer.matrixUpdate=muon`: trains, goes on with the same bytes, and is refused where it cannot round. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { type TokenStore, Trainer, WorldModel } from '../../../lib/index.js';
import type { TrainConfigInput } from '../../../lib/train/train-config.js';
import { nativeBatch, plainStep } from '../../fixtures/native-batch.js';
import { simulatedStore } from '../../fixtures/simulated-store.js';
import { temporaryFolder } from '../../fixtures/temporary-folder.js';
import { tinyModel } from '../../fixtures/tiny-model.js';

const config: TrainConfigInput = {
	model: { ...tinyModel, numHiddenLayers: 2 },
	contextTokens: 48,
	futureTokens: 24,
	tokensPerStep: 512,
	steps: 6,
	checkpointEvery: 3,
	tuningEvery: 0,
	tuningBatches: 1,
	threads: 1,
	optimizer: { matrixUpdate: 'muon' },
};

let folder: string;
let store: TokenStore;
t.before(async () => {
	folder = temporaryFolder(t);
	store = await simulatedStore(folder);
});
t.teardown(() => store.close());

const bytesOf = (run: string) =>
	['encoder', 'target_encoder', 'predictor', 'optimizer'].map((part) =>
		readFileSync(join(run, 'checkpoints', 'step-00000006', `${part}.safetensors`)).toString('base64'),
	);

let runs = 0;
async function train(change: TrainConfigInput): Promise<{ readonly run: string; readonly losses: number[] }> {
	const run = join(folder, `run-${++runs}`);
	await using trainer = await Trainer.create(run, store, { ...config, ...change });
	const losses: number[] = [];
	for await (const { loss } of trainer.run(store)) losses.push(loss);
	return { run, losses };
}

t.test('muon: the loss falls, and a stopped run goes on with the same bytes', async (t) => {
	const straight = await train({});
	t.ok(straight.losses.at(-1)! < straight.losses[0]!, 'the loss falls');
	const other = await train({ optimizer: {} });
	t.equal(other.losses[0], straight.losses[0], 'the first forward pass is the same');
	t.not(other.losses.at(-1), straight.losses.at(-1), 'the updates are not');

	const run = join(folder, 'stopped');
	const losses: number[] = [];
	{
		await using trainer = await Trainer.create(run, store, config);
		for await (const { step, loss } of trainer.run(store)) {
			losses.push(loss);
			if (step === 4) break;
		}
	}
	await using resumed = await Trainer.resume(run, store);
	for await (const { loss } of resumed.run(store)) losses.push(loss);
	t.same(losses, straight.losses);
	t.same(bytesOf(run), bytesOf(straight.run));
});

t.test('muon in the backward pass is muon after it', async (t) => {
	const optimizer = { matrixUpdate: 'muon', gradientClip: 0.1, clipBy: 'parameter' } as const;
	const expected = await train({ optimizer });
	const found = await train({ optimizer: { ...optimizer, updateInBackward: true } });
	t.same(found.losses, expected.losses);
	t.same(bytesOf(found.run), bytesOf(expected.run));
});

t.test('muon trains adapters', async (t) => {
	const { losses } = await train({ trainable: { kind: 'lora', rank: 2 } });
	t.ok(losses.every(Number.isFinite));
});

t.test('muon is refused for bfloat16 parameters, by a run and by a step', async (t) => {
	await t.rejects(Trainer.create(join(folder, 'refused'), store, { ...config, parameterDtype: 'bfloat16' }), {
		code: 'EHR_JEPA_CONFIG',
		message: /matrixUpdate: must be "adamw" with bfloat16 parameters/,
	});
	const model = new WorldModel({
		shape: tinyModel,
		vocabSize: 32,
		parameterDtype: 'bfloat16',
		stochasticRounding: true,
	});
	await using _ = model;
	const batch = nativeBatch(1, 12, 32, { future: 4 });
	const before = await model.embed(batch);
	await t.rejects(
		model.step(batch, { ...plainStep, matrixUpdate: 'muon' }),
		/matrixUpdate muon needs float32 parameters/,
	);
	t.same(await model.embed(batch), before, 'nothing moved');
});
