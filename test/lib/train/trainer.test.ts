import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import {
	exportHuggingFace,
	openModel,
	openTokenStore,
	prepareStore,
	RunFolder,
	type StepMetrics,
	type TokenStore,
	Trainer,
} from '../../../lib/index.js';
import { learningRateAt } from '../../../lib/train/schedule.js';
import { OptimizerConfig, type TrainConfigInput } from '../../../lib/train/train-config.js';
import { simulatedStore } from '../../fixtures/simulated-store.js';
import { temporaryFolder } from '../../fixtures/temporary-folder.js';
import { tinyModel } from '../../fixtures/tiny-model.js';

const tiny: TrainConfigInput = {
	model: { ...tinyModel, numHiddenLayers: 2 },
	contextTokens: 48,
	futureTokens: 24,
	tokensPerStep: 512,
	steps: 8,
	checkpointEvery: 4,
	tuningEvery: 4,
	tuningBatches: 2,
	collapseEvery: 2,
};

let folder: string;
let store: TokenStore;
t.before(async () => {
	folder = temporaryFolder(t);
	store = await simulatedStore(folder);
});
t.teardown(() => store.close());

async function trainAll(trainer: Trainer): Promise<number[]> {
	const losses: number[] = [];
	for await (const { loss } of trainer.run(store)) losses.push(loss);
	return losses;
}

t.test('a run explains itself: config, metrics of both kinds, checkpoints', async (t) => {
	const run = join(folder, 'both');
	await using trainer = await Trainer.create(run, store, tiny);
	const losses = await trainAll(trainer);
	t.equal(losses.length, 8);
	t.ok(losses.at(-1)! < losses[0]!);
	const opened = await RunFolder.open(run);
	t.equal(opened.config.train.steps, 8);
	t.equal(opened.config.data.store, store.manifest.fingerprint);
	const lines = await opened.metrics();
	t.same(
		lines.filter(({ kind }) => kind === 'train').map(({ step }) => step),
		[1, 2, 3, 4, 5, 6, 7, 8],
	);
	t.same(
		lines.filter(({ kind }) => kind === 'tuning').map(({ step }) => step),
		[4, 8],
	);
	const last = lines.findLast((line) => line.kind === 'train')!;
	t.ok(last.collapse!.targetStd > 0);
	t.ok(last.collapse!.targetEncoderDistance > 0);
	t.same(
		(await opened.checkpoints()).map(({ step, kinds }) => [step, kinds.length]),
		[
			[4, 4],
			[8, 4],
		],
	);
	await t.rejects(Trainer.create(run, store, tiny), { code: 'EHR_JEPA_OUTPUT' }, 'a run is not written over');
});

t.test('stop and resume gives the same losses and weights as one run', async (t) => {
	const [straight, broken] = [join(folder, 'straight'), join(folder, 'broken')];
	let expected: number[];
	{
		await using trainer = await Trainer.create(straight, store, tiny);
		expected = await trainAll(trainer);
	}
	const found: number[] = [];
	{
		await using trainer = await Trainer.create(broken, store, tiny);
		for await (const { step, loss } of trainer.run(store)) {
			found.push(loss);
			if (step === 5) break;
		}
		t.equal((await trainer.folder.newestCheckpoint()).step, 5, 'stopping early leaves a checkpoint of the last step');
	}
	{
		await using trainer = await Trainer.resume(broken, store);
		found.push(...(await trainAll(trainer)));
	}
	t.same(found, expected);
	for (const part of ['encoder', 'target_encoder', 'predictor', 'optimizer']) {
		const bytes = (run: string) => readFileSync(join(run, 'checkpoints', 'step-00000008', `${part}.safetensors`));
		t.ok(bytes(straight).equals(bytes(broken)), `${part} is the same byte for byte`);
	}
	t.equal(
		(await (await RunFolder.open(broken)).metrics()).filter(({ kind }) => kind === 'train').length,
		8,
		'no line twice',
	);
});

t.test('an abort stops between steps, with a checkpoint', async (t) => {
	const run = join(folder, 'aborted');
	await using trainer = await Trainer.create(run, store, { ...tiny, steps: 10_000 });
	const controller = new AbortController();
	const going = (async () => {
		for await (const { step } of trainer.run(store, { signal: controller.signal })) if (step === 3) controller.abort();
	})();
	await t.rejects(going, { name: 'AbortError', code: 'ABORT_ERR' });
	t.equal((await trainer.folder.newestCheckpoint()).step, trainer.step);
});

t.test('a truncated checkpoint is passed over; the newest whole one is used', async (t) => {
	const run = join(folder, 'truncated');
	{
		await using trainer = await Trainer.create(run, store, tiny);
		await trainAll(trainer);
	}
	truncateSync(join(run, 'checkpoints', 'step-00000008', 'encoder.safetensors'), 1000);
	const { model, step } = await openModel(run);
	t.equal(step, 4);
	await model.close();
	rmSync(join(run, 'checkpoints', 'step-00000004'), { recursive: true });
	await t.rejects(openModel(run), {
		code: 'EHR_JEPA_CHECKPOINT',
		message: /must hold a whole checkpoint but holds none/,
	});
});

t.test('a run that was interrupted before its first checkpoint starts again from its seed', async (t) => {
	const [whole, early] = [join(folder, 'from-seed'), join(folder, 'no-checkpoint')];
	const losses = async (trainer: Trainer) => {
		const found = await trainAll(trainer);
		await trainer.close();
		return found;
	};
	const expected = await losses(await Trainer.create(whole, store, tiny));
	await (await Trainer.create(early, store, tiny)).close();
	t.same(await losses(await Trainer.resume(early, store)), expected);
});

t.test('training starts from the weights of a HuggingFace folder, and says so when they have changed', async (t) => {
	const [first, exported, second] = [join(folder, 'first'), join(folder, 'exported'), join(folder, 'second')];
	{
		await using trainer = await Trainer.create(first, store, tiny);
		await trainAll(trainer);
		await exportHuggingFace(trainer.model, exported);
	}
	const { model: _, ...rest } = tiny;
	const config = { ...rest, steps: 2, initialWeights: exported };
	{
		await using trainer = await Trainer.create(second, store, config);
		t.same(trainer.config.model.hiddenSize, 16, 'the shape is that of the folder');
		const { model } = await openModel(first);
		const split = store.split('tuning');
		const tokens = (await split.timeline(0)).tokens.slice(0, 40);
		const batch = { tokens, cuSeqlens: Int32Array.of(0, tokens.length), positionIds: tokens.map((_, i) => i) };
		t.same(await trainer.model.embed(batch), await model.embed(batch), 'the weights are those of the run');
		await model.close();
		await trainAll(trainer);
	}
	await t.rejects(Trainer.create(join(folder, 'x'), store, { ...tiny, initialWeights: exported }), {
		code: 'EHR_JEPA_CONFIG',
		message: /model must be left out with initialWeights/,
	});
	const weights = join(exported, 'model.safetensors');
	const bytes = readFileSync(weights);
	bytes[bytes.length - 5]! ^= 1;
	writeFileSync(weights, bytes);
	await t.rejects(openModel(second, { weights: 'initial' }), {
		code: 'EHR_JEPA_CHECKPOINT',
		message: /must hold the weights the run began with/,
	});
	const { model, step } = await openModel(second);
	t.equal(step, 2, 'what was trained does not need them');
	await model.close();
	t.notOk(existsSync(join(folder, 'x')));
});

t.test('a damaged, foreign or newer checkpoint is refused with what differs', async (t) => {
	const run = join(folder, 'damage');
	{
		await using trainer = await Trainer.create(run, store, tiny);
		await trainAll(trainer);
	}
	const [older, newest] = ['step-00000004', 'step-00000008'].map((name) => join(run, 'checkpoints', name));
	const weights = join(newest!, 'encoder.safetensors');
	const bytes = readFileSync(weights);
	const flipped = Buffer.from(bytes);
	flipped[flipped.length - 5]! ^= 1;
	writeFileSync(weights, flipped);
	const warnings: string[] = [];
	const trainer = await Trainer.resume(run, store, { onWarning: (message) => warnings.push(message) });
	t.equal(trainer.step, 4, 'one flipped bit: the older one is used');
	t.match(warnings, [
		/step-00000008 is damaged and passed over: encoder.safetensors must have sha256 \w{12} but has \w{12}/,
	]);
	await trainer.close();
	writeFileSync(weights, bytes);

	const stateFile = join(newest!, 'state.json');
	const state = JSON.parse(readFileSync(stateFile, 'utf8'));
	const refused = async (change: object, message: RegExp) => {
		writeFileSync(stateFile, JSON.stringify({ ...state, ...change }));
		await t.rejects(Trainer.resume(run, store), { code: 'EHR_JEPA_CHECKPOINT', message });
	};
	await refused({ version: 3 }, /must have format version 2 but has 3; a newer ehr-jepa wrote it/);
	await refused(
		{ run: { ...state.run, train: { ...state.run.train, optimizer: { ...state.run.train.optimizer, beta2: 0.9 } } } },
		/made with another configuration: train.optimizer.beta2 is 0.9, in config.json it is 0.95/,
	);
	await refused({ run: { ...state.run, data: { ...state.run.data, store: 'other' } } }, /data.store is "other"/);
	writeFileSync(stateFile, '{"format":');
	rmSync(join(older!, 'optimizer.safetensors'));
	await t.rejects(Trainer.resume(run, store), {
		code: 'EHR_JEPA_CHECKPOINT',
		message:
			/holds none; step-00000008: state.json cannot be read .*; step-00000004: optimizer.safetensors must have \d+ bytes but is missing/,
	});
});

t.test('a checkpoint that cannot be written is a warning, and training goes on', async (t) => {
	const run = join(folder, 'unwritable');
	await using trainer = await Trainer.create(run, store, { ...tiny, steps: 8, checkpointEvery: 2 });
	const checkpoints = join(run, 'checkpoints');
	const warnings: string[] = [];
	const seen: number[] = [];
	for await (const { step } of trainer.run(store, { onWarning: (message) => warnings.push(message) })) {
		seen.push(step);
		// A file where the folder of step 4 is to be: it cannot be replaced by a rename of a folder onto it.
		if (step === 3) {
			while (!existsSync(join(checkpoints, 'step-00000002'))) await sleep(5);
			rmSync(checkpoints, { recursive: true });
			writeFileSync(checkpoints, 'in the way');
		}
		if (step === 5) {
			while (warnings.length === 0) await sleep(5);
			rmSync(checkpoints);
			mkdirSync(checkpoints);
		}
	}
	t.same(seen, [1, 2, 3, 4, 5, 6, 7, 8]);
	t.match(warnings, [/step-00000004 could not be written: .*; training goes on, the older checkpoints are untouched/]);
	t.same(
		(await trainer.folder.checkpoints()).map(({ step }) => step),
		[6, 8],
	);
	t.ok(
		(await trainer.folder.metrics()).some((line) => line.kind === 'train' && line.checkpointMs !== undefined),
		'the pause is measured',
	);
});

t.test('checkpoints are kept as the configuration says', async (t) => {
	await using trainer = await Trainer.create(join(folder, 'kept'), store, {
		...tiny,
		steps: 10,
		checkpointEvery: 1,
		keepCheckpoints: 2,
		keepCheckpointEvery: 4,
	});
	await trainAll(trainer);
	t.same(
		(await trainer.folder.checkpoints()).map(({ step }) => step),
		[4, 8, 9, 10],
	);
});

t.test('a run and another data set do not go together', async (t) => {
	const run = join(folder, 'both');
	await prepareStore(join(folder, 'cohort'), join(folder, 'other'), { tokens: { kind: 'structured', bins: 3 } });
	const other = await openTokenStore(join(folder, 'other'));
	await t.rejects(Trainer.resume(run, other), {
		code: 'EHR_JEPA_CHECKPOINT',
		message: /the store must be the one the run was made with/,
	});
	await other.close();
	await t.rejects(RunFolder.open(folder), {
		code: 'EHR_JEPA_DATA',
		message: /must be the JSON of a run but found it is not there/,
	});
	writeFileSync(join(folder, 'config.json'), '{"format":"ehr-jepa/run","version":2}');
	await t.rejects(RunFolder.open(folder), { code: 'EHR_JEPA_CONFIG' });
});

t.test('an SFT run has no predictor and no target encoder; JEPA alone has no next-token loss', async (t) => {
	{
		await using trainer = await Trainer.create(join(folder, 'sft'), store, { ...tiny, objective: { latent: null } });
		for await (const { latentLoss, momentum, collapse } of trainer.run(store))
			t.same([latentLoss, momentum, collapse], [null, null, undefined]);
	}
	t.same(readdirSync(join(folder, 'sft', 'checkpoints', 'step-00000008')).sort(), [
		'encoder.safetensors',
		'optimizer.safetensors',
		'state.json',
	]);
	await using jepa = await Trainer.create(join(folder, 'jepa'), store, {
		...tiny,
		steps: 2,
		objective: { nextToken: null },
	});
	for await (const { nextTokenLoss, latentLoss, loss } of jepa.run(store)) {
		t.equal(nextTokenLoss, null);
		t.equal(loss, latentLoss);
	}
});

t.test('every variant of the method trains, and goes on from a checkpoint with the same bytes', async (t) => {
	const variants: Record<string, TrainConfigInput['objective']> = {
		query: { latent: { branch: { kind: 'query' }, cuts: 2 } },
		curriculum: { schedule: { kind: 'curriculum', sftFraction: 0.5 } },
		online: { latent: { target: { kind: 'online' }, antiCollapse: { variance: 1, covariance: 0.04, sigreg: 0.05 } } },
		data2vec: {
			latent: { target: { kind: 'ema', momentum: 0.9, finalMomentum: 1, layers: 2 }, loss: { kind: 'cosine' } },
		},
		strict: {
			latent: { branch: { kind: 'masked', ratio: 1, span: 3 }, predictor: { kind: 'identity' }, interferenceEvery: 2 },
		},
		positions: {
			latent: {
				branch: { kind: 'query', at: 'positions', share: 0.2 },
				predictor: { kind: 'transformer', width: 8, heads: 2 },
			},
		},
		rollout: { latent: { branch: { kind: 'state' }, predictor: { kind: 'transformer', width: 8 }, cuts: 2 } },
		views: { latent: { branch: { kind: 'views', predictorTokens: 2 }, cuts: 2 } },
		'views without tokens': { latent: { branch: { kind: 'views', predictorTokens: 0 }, weight: 1 } },
	};
	for (const [name, objective] of Object.entries(variants)) {
		const config: TrainConfigInput = {
			...tiny,
			tuningEvery: 0,
			checkpointEvery: 3,
			steps: 6,
			microBatches: 2,
			tokensPerStep: 256,
			objective,
		};
		const [straight, broken] = [join(folder, `${name}-straight`), join(folder, `${name}-broken`)];
		const lines: StepMetrics[] = [];
		{
			await using trainer = await Trainer.create(straight, store, config);
			for await (const line of trainer.run(store)) lines.push(line);
		}
		// The same run as it was after its first checkpoint.
		cpSync(straight, broken, { recursive: true });
		rmSync(join(broken, 'checkpoints', 'step-00000006'), { recursive: true });
		{
			await using trainer = await Trainer.resume(broken, store);
			t.equal(trainer.step, 3);
			for await (const _ of trainer.run(store));
		}
		const bytes = (run: string, file: string) => readFileSync(join(run, 'checkpoints', 'step-00000006', file));
		for (const file of ['encoder', 'target_encoder', 'predictor', 'optimizer'].map((part) => `${part}.safetensors`)) {
			t.ok(bytes(straight, file).equals(bytes(broken, file)), `${name}: ${file} is the same`);
		}
		t.ok(lines.every(({ loss }) => Number.isFinite(loss)));
		if (name === 'curriculum')
			t.same(
				lines.map(({ latentLoss }) => latentLoss === null),
				[true, true, true, false, false, false],
			);
		if (name === 'online') t.ok(lines.every(({ regulariser, momentum }) => regulariser! > 0 && momentum === null));
		if (name === 'strict')
			t.same(
				lines.map(({ interference }) => interference !== undefined),
				[false, true, false, true, false, true],
			);
	}
});

t.test('bfloat16 trains and stays near float32', async (t) => {
	const last = async (name: string, computeDtype: 'float32' | 'bfloat16') => {
		await using trainer = await Trainer.create(join(folder, name), store, { ...tiny, computeDtype });
		return (await trainAll(trainer)).at(-1)!;
	};
	const [wide, narrow] = [await last('wide', 'float32'), await last('narrow', 'bfloat16')];
	t.ok(Math.abs(wide - narrow) < 0.05 * wide, `${wide} and ${narrow}`);
});

t.test('the learning rate warms up and falls along a cosine', async (t) => {
	const optimizer = OptimizerConfig.parse({ learningRate: 1, warmupFraction: 0.1, finalFraction: 0.1 });
	t.equal(learningRateAt(5, 100, optimizer), 0.5);
	t.equal(learningRateAt(10, 100, optimizer), 1);
	t.ok(Math.abs(learningRateAt(55, 100, optimizer) - 0.55) < 1e-12);
	t.ok(Math.abs(learningRateAt(100, 100, optimizer) - 0.1) < 1e-12);
});
