import { readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import {
	openModel,
	openTokenStore,
	prepareStore,
	RunFolder,
	simulateCohort,
	type TokenStore,
	Trainer,
} from '../../../lib/index.js';
import { learningRateAt } from '../../../lib/train/schedule.js';
import { OptimizerConfig, type TrainConfigInput } from '../../../lib/train/train-config.js';
import { temporaryFolder } from '../../fixtures/temporary-folder.js';

const tiny: TrainConfigInput = {
	model: {
		hiddenSize: 16,
		intermediateSize: 32,
		numHiddenLayers: 2,
		numAttentionHeads: 2,
		numKeyValueHeads: 1,
		headDim: 8,
	},
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
	await simulateCohort(join(folder, 'cohort'), { patients: 40, seed: 1 });
	await prepareStore(join(folder, 'cohort'), join(folder, 'store'));
	store = await openTokenStore(join(folder, 'store'));
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
	const last = lines.findLast(({ kind }) => kind === 'train')!;
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

t.test('a run and another data set do not go together', async (t) => {
	const run = join(folder, 'both');
	await prepareStore(join(folder, 'cohort'), join(folder, 'other'), { bins: 3 });
	const other = await openTokenStore(join(folder, 'other'));
	await t.rejects(Trainer.resume(run, other), {
		code: 'EHR_JEPA_CHECKPOINT',
		message: /the store must be the one the run was made with/,
	});
	await other.close();
	await t.rejects(RunFolder.open(folder), { code: 'EHR_JEPA_DATA', message: /must exist in a run folder/ });
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
