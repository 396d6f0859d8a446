/** What saves memory in training: the same bytes where nothing is to change, exact resumption where something does. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { exportHuggingFace, openModel, type TokenStore, Trainer, WorldModel } from '../../../lib/index.js';
import { readSafetensorsHeader } from '../../../lib/model/safetensors.js';
import type { TrainConfigInput } from '../../../lib/train/train-config.js';
import { simulatedStore } from '../../fixtures/simulated-store.js';
import { temporaryFolder } from '../../fixtures/temporary-folder.js';
import { tinyModel } from '../../fixtures/tiny-model.js';
import { TrainedRuns } from '../../fixtures/trained-runs.js';

const tiny: TrainConfigInput = {
	model: { ...tinyModel, numHiddenLayers: 2 },
	contextTokens: 48,
	futureTokens: 24,
	tokensPerStep: 512,
	steps: 6,
	checkpointEvery: 3,
	tuningEvery: 0,
	tuningBatches: 1,
	collapseEvery: 2,
	threads: 1,
};
let folder: string;
let store: TokenStore;
let runs: TrainedRuns;
t.before(async () => {
	folder = temporaryFolder(t);
	store = await simulatedStore(folder);
	runs = new TrainedRuns(folder, store, tiny);
});
t.teardown(() => store.close());

t.test('activation checkpointing and writing without a copy change no byte', async (t) => {
	for (const computeDtype of ['float32', 'bfloat16'] as const) {
		const expected = await runs.train({ computeDtype });
		for (const change of [
			{ activationCheckpointing: 'block' },
			{ activationCheckpointing: 'selective' },
			{ checkpointCopy: false },
		] as const) {
			const found = await runs.train({ computeDtype, ...change });
			t.same(found.losses, expected.losses, `${computeDtype}, ${JSON.stringify(change)}: losses`);
			t.same(runs.bytesOf(found.run), runs.bytesOf(expected.run), `${computeDtype}, ${JSON.stringify(change)}: files`);
		}
	}
});

t.test('an update in the backward pass is the one after it', async (t) => {
	for (const optimizer of [{ gradientClip: 0 }, { gradientClip: 0.1, clipBy: 'parameter' }] as const) {
		const expected = await runs.train({ optimizer });
		const found = await runs.train({ optimizer: { ...optimizer, updateInBackward: true } });
		t.same(found.losses, expected.losses);
		t.same(runs.bytesOf(found.run), runs.bytesOf(expected.run));
	}
});

const narrow: TrainConfigInput = {
	...tiny,
	computeDtype: 'bfloat16',
	parameterDtype: 'bfloat16',
	activationCheckpointing: 'block',
	checkpointCopy: false,
	optimizer: { clipBy: 'parameter', updateInBackward: true },
};

t.test('bfloat16 parameters with stochastic rounding: a stopped run goes on with the same bytes', async (t) => {
	const straight = await runs.train(narrow);
	t.ok(straight.losses.at(-1)! < straight.losses[0]!, 'the loss falls');
	const { run, losses } = await runs.trainStopped(narrow);
	t.same(losses, straight.losses);
	t.same(runs.bytesOf(run), runs.bytesOf(straight.run));
	t.equal(runs.stateOf(run), runs.stateOf(straight.run), 'what it says of itself, too');
	for (const part of runs.parts) {
		const { entries } = await readSafetensorsHeader(runs.partFile(run, part));
		const dtypes = new Set(entries.filter(({ name }) => !name.startsWith('steps.')).map(({ dtype }) => dtype));
		t.same([...dtypes], ['bfloat16'], `${part} is bfloat16`);
	}
});

t.test('bfloat16 parameters: the seed decides the rounding', async (t) => {
	const config = { ...narrow, steps: 1 };
	const first = async (change: TrainConfigInput) => {
		const run = runs.next();
		await using trainer = await Trainer.create(run, store, { ...config, ...change });
		for await (const _ of trainer.run(store));
		return readFileSync(join(run, 'checkpoints', 'step-00000001', 'encoder.safetensors')).toString('base64');
	};
	t.equal(await first({}), await first({}));
	t.not(await first({ seed: 2 }), await first({}));
});

t.test('a run in bfloat16 is embedded and exported as any other', async (t) => {
	const { run } = await runs.train(narrow);
	const { model } = await openModel(run);
	await using _ = model;
	const batch = { tokens: Int32Array.of(1, 2, 3), cuSeqlens: Int32Array.of(0, 3), positionIds: Int32Array.of(0, 1, 2) };
	const states = await model.embed(batch);
	t.ok(states.every(Number.isFinite));
	const exported = join(folder, 'exported');
	await exportHuggingFace(model, exported);
	await using again = await WorldModel.fromPretrained(exported, {
		parameterDtype: 'bfloat16',
		computeDtype: 'bfloat16',
	});
	t.same(await again.embed(batch), states, 'the exported weights are those of the run');
	t.ok(again.isFrozen);
});

t.test('a model of one’s own trains in bfloat16 with stochastic rounding', async (t) => {
	await using model = new WorldModel({ vocabSize: 30, parameterDtype: 'bfloat16', stochasticRounding: true });
	t.notOk(model.isFrozen);
	const tokens = Int32Array.from({ length: 24 }, (_, i) => i);
	const batch = {
		tokens,
		cuSeqlens: Int32Array.of(0, 24),
		positionIds: Int32Array.from(tokens),
		contextLengths: Int32Array.of(4),
		branches: {
			kind: 'causal' as const,
			predictorTokens: 0,
			sequences: new Int32Array(),
			cuts: new Int32Array(),
			cuRows: Int32Array.of(0),
			tokens: new Int32Array(),
			positionIds: new Int32Array(),
			targets: new Int32Array(),
			days: new Float32Array(),
		},
	};
	const losses: number[] = [];
	for (let step = 1; step <= 20; step++) {
		const { loss } = await model.step(batch, { learningRate: 1e-2, step, objective: { latent: null } });
		losses.push(loss);
	}
	t.ok(losses.at(-1)! < 0.5 * losses[0]!, `${losses[0]} to ${losses.at(-1)}`);
});

t.test('what cannot go together is refused with the option’s name', async (t) => {
	const refused = async (config: TrainConfigInput, message: RegExp) =>
		t.rejects(Trainer.create(runs.next(), store, { ...tiny, ...config }), { code: 'EHR_JEPA_CONFIG', message });
	await refused({ optimizer: { updateInBackward: true } }, /updateInBackward: must go with "clipBy": "parameter"/);
	const optimizer = { updateInBackward: true, clipBy: 'parameter' } as const;
	await refused({ optimizer, microBatches: 2 }, /updateInBackward: must be off with more than one of microBatches/);
	await refused(
		{ optimizer, objective: { latent: { interferenceEvery: 2 } } },
		/updateInBackward: must be off with interferenceEvery/,
	);
	await refused(
		{ parameterDtype: 'bfloat16', trainable: { kind: 'lora', rank: 2 } },
		/parameterDtype: must be float32/,
	);
	await refused({ activationCheckpointing: 'all' as 'none' }, /activationCheckpointing/);
	t.throws(() => new WorldModel({ vocabSize: 30, stochasticRounding: true }), {
		code: 'EHR_JEPA_CONFIG',
		message: /stochasticRounding: must go with "parameterDtype": "bfloat16"/,
	});
});
