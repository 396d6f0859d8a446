/** `optimizer.matrixUpdate=muon`: trains, goes on with the same bytes, and is refused where it cannot round. */
import { join } from 'node:path';
import t from 'tap';
import { type TokenStore, Trainer, WorldModel } from '../../../lib/index.js';
import type { TrainConfigInput } from '../../../lib/train/train-config.js';
import { nativeBatch, plainStep } from '../../fixtures/native-batch.js';
import { simulatedStore } from '../../fixtures/simulated-store.js';
import { temporaryFolder } from '../../fixtures/temporary-folder.js';
import { tinyModel } from '../../fixtures/tiny-model.js';
import { TrainedRuns } from '../../fixtures/trained-runs.js';

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
let runs: TrainedRuns;
t.before(async () => {
	folder = temporaryFolder(t);
	store = await simulatedStore(folder);
	runs = new TrainedRuns(folder, store, config);
});
t.teardown(() => store.close());

t.test('muon: the loss falls, and a stopped run goes on with the same bytes', async (t) => {
	const straight = await runs.train({});
	t.ok(straight.losses.at(-1)! < straight.losses[0]!, 'the loss falls');
	const other = await runs.train({ optimizer: {} });
	t.equal(other.losses[0], straight.losses[0], 'the first forward pass is the same');
	t.not(other.losses.at(-1), straight.losses.at(-1), 'the updates are not');

	const { run, losses } = await runs.trainStopped({});
	t.same(losses, straight.losses);
	t.same(runs.bytesOf(run), runs.bytesOf(straight.run));
});

t.test('muon in the backward pass is muon after it', async (t) => {
	const optimizer = { matrixUpdate: 'muon', gradientClip: 0.1, clipBy: 'parameter' } as const;
	const expected = await runs.train({ optimizer });
	const found = await runs.train({ optimizer: { ...optimizer, updateInBackward: true } });
	t.same(found.losses, expected.losses);
	t.same(runs.bytesOf(found.run), runs.bytesOf(expected.run));
});

t.test('muon trains adapters', async (t) => {
	const { losses } = await runs.train({ trainable: { kind: 'lora', rank: 2 } });
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
