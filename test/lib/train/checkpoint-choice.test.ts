/** Weights of an older checkpoint: of `openModel` and of the commands that read a run. */
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { openModel, type TokenStore, Trainer } from '../../../lib/index.js';
import { nativeBatch } from '../../fixtures/native-batch.js';
import { runCli } from '../../fixtures/run-cli.js';
import { simulatedStore } from '../../fixtures/simulated-store.js';
import { temporaryFolder } from '../../fixtures/temporary-folder.js';
import { tinyModel } from '../../fixtures/tiny-model.js';

let folder: string;
let store: TokenStore;
t.before(async () => {
	folder = temporaryFolder(t);
	store = await simulatedStore(folder);
	await using trainer = await Trainer.create(join(folder, 'run'), store, {
		model: tinyModel,
		...{ contextTokens: 48, futureTokens: 24, tokensPerStep: 512, threads: 1 },
		...{ steps: 6, checkpointEvery: 2, keepCheckpoints: 3, tuningEvery: 2, tuningBatches: 1 },
	});
	for await (const _ of trainer.run(store));
});
t.teardown(() => store.close());

/** States of one batch, by the weights of a run. */
async function states(run: string, weights?: number): Promise<Float32Array> {
	const { model, step } = await openModel(join(folder, run), { weights });
	t.equal(step, weights ?? step);
	const found = await model.embed(nativeBatch(1, 12, store.vocabulary.size, { future: 4 }));
	await model.close();
	return found;
}

t.test('the weights of a step are those that were newest then', async (t) => {
	cpSync(join(folder, 'run'), join(folder, 'then'), { recursive: true });
	rmSync(join(folder, 'then/checkpoints/step-00000006'), { recursive: true });
	t.same(await states('run', 4), await states('then'));
	t.notSame(await states('run', 4), await states('run'));
	t.same(await states('run', 6), await states('run'));
});

t.test('a step that is not there, or damaged, is refused: no other one takes its place', async (t) => {
	await t.rejects(states('run', 3), {
		code: 'EHR_JEPA_CHECKPOINT',
		message: /\(2, 4, 6\) but is 3; .*keepCheckpointEvery/,
	});
	cpSync(join(folder, 'run'), join(folder, 'damaged'), { recursive: true });
	const file = join(folder, 'damaged/checkpoints/step-00000004/encoder.safetensors');
	const bytes = readFileSync(file);
	bytes[bytes.length - 1]! ^= 1;
	writeFileSync(file, bytes);
	await t.rejects(states('damaged', 4), { code: 'EHR_JEPA_CHECKPOINT', message: /step-00000004 must be whole/ });
	t.same(await states('damaged', 2), await states('run', 2));
});

t.test('embed, score and export take --checkpoint', async (t) => {
	const run = (...args: string[]) => runCli(t, args, folder);
	t.equal((await run('tasks', 'cohort', 'tasks')).status, 0);
	const embedded = await run('embed', 'run', 'store', 'tasks', 'early.parquet', '--checkpoint', '2', '--json');
	t.equal(JSON.parse(embedded.stdout).step, '2');
	t.equal((await run('score', 'run', 'early.arrow', '--store', 'store', '--checkpoint', '2')).status, 0);
	t.equal((await run('score', 'run', 'late.arrow', '--store', 'store')).status, 0);
	const scores = (name: string) => readFileSync(join(folder, name)).toString('base64');
	t.not(scores('early.arrow'), scores('late.arrow'));
	const exported = await run('export', 'run', 'early', '--checkpoint', '2');
	t.match(exported.stdout, /step 2,/);
	const losses = readFileSync(join(folder, 'run/metrics.jsonl'), 'utf8')
		.split('\n')
		.filter((line) => line !== '');
	const tuning = losses.map((line) => JSON.parse(line)).filter(({ kind }) => kind === 'tuning');
	const [second, last] = [tuning.find(({ step }) => step === 2), tuning.find(({ step }) => step === 6)];
	const card = readFileSync(join(folder, 'early/README.md'), 'utf8');
	t.match(card, second.nextTokenLoss.toFixed(4), 'the model card has the loss of that step');
	t.notMatch(card, last.nextTokenLoss.toFixed(4));
	for (const [args, rule] of [
		[['embed', 'run', 'store', 'tasks', 'no.parquet', '--checkpoint', '0'], /--checkpoint must be the step/],
		[
			['embed', 'run', 'store', 'tasks', 'no.parquet', '--checkpoint', '2', '--weights', 'initial'],
			/without --weights/,
		],
		[['export', 'early', 'no', '--checkpoint', '2'], /--checkpoint belongs to a run folder/],
		[['score', 'early', 'no.arrow', '--store', 'store', '--checkpoint', '2'], /--checkpoint belongs to a run folder/],
	] as const) {
		const { status, stderr } = await run(...args);
		t.equal(status, 2, stderr);
		t.match(stderr, rule);
	}
});
