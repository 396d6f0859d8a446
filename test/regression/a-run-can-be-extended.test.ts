import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { ConfigError, openTokenStore, RunFolder, type TokenStore, Trainer } from '../../lib/index.js';
import { targetRestartsAt, weightsAt } from '../../lib/objective/objective.js';
import { learningRateAt } from '../../lib/train/schedule.js';
import { TrainConfig } from '../../lib/train/train-config.js';
import { temporaryFolder } from '../fixtures/temporary-folder.js';
import { prepareTinyStore, tinyModel } from '../fixtures/tiny-model.js';

const steps = 4;
const tiny = {
	model: tinyModel,
	contextTokens: 32,
	futureTokens: 16,
	tokensPerStep: 64,
	threads: 1,
	steps,
};

let folder: string;
let store: TokenStore;
t.before(async () => {
	folder = temporaryFolder(t);
	await prepareTinyStore(folder);
	store = await openTokenStore(join(folder, 'store'));
});
t.teardown(() => store.close());

async function train(trainer: Trainer, until = Number.POSITIVE_INFINITY): Promise<void> {
	await using _ = trainer;
	for await (const { step } of trainer.run(store)) if (step === until) break;
}

function weightsOf(run: string): Buffer {
	return readFileSync(join(run, 'checkpoints', 'step-00000007', 'optimizer.safetensors'));
}

t.test('a finished run is extended, and an interrupted extension goes on, to the same bytes', async (t) => {
	const [straight, stopped, early] = ['straight', 'stopped', 'early'].map((name) => join(folder, name)) as [
		string,
		string,
		string,
	];
	await train(await Trainer.create(straight, store, tiny));
	const before = readFileSync(join(straight, 'config.json'), 'utf8');
	await train(await Trainer.resume(straight, store));
	t.equal(readFileSync(join(straight, 'config.json'), 'utf8'), before, 'resuming alone changes no configuration');
	await train(await Trainer.resume(straight, store, { steps: 7 }));

	await train(await Trainer.create(stopped, store, tiny));
	await train(await Trainer.resume(stopped, store, { steps: 7 }), 5);
	await train(await Trainer.resume(stopped, store));

	await train(await Trainer.create(early, store, tiny), 2);
	await train(await Trainer.resume(early, store, { steps: 7 }));

	t.ok(weightsOf(straight).equals(weightsOf(stopped)), 'interrupted in the extension');
	t.ok(weightsOf(straight).equals(weightsOf(early)), 'extended before it was finished');
	const run = await RunFolder.open(straight);
	t.match(run.config, { train: { steps }, extendedTo: 7 });
	t.same(
		(await run.checkpoints()).map(({ step }) => step),
		[4, 7],
		'the checkpoint from before is still one of this run',
	);
	const rates = (await run.metrics()).flatMap((line) => (line.kind === 'train' ? [line.learningRate] : []));
	t.equal(rates.length, 7);
	t.same(rates.slice(steps), [rates[steps - 1], rates[steps - 1], rates[steps - 1]], 'the rate stays where it ended');
});

t.test('an extension that adds nothing is refused and changes nothing', async (t) => {
	const run = join(folder, 'short');
	await train(await Trainer.create(run, store, tiny));
	const before = readFileSync(join(run, 'config.json'), 'utf8');
	for (const bad of [4, 3, 0, -1, 4.5, Number.NaN]) {
		await t.rejects(Trainer.resume(run, store, { steps: bad }), ConfigError, `${bad}`);
	}
	await t.rejects(
		Trainer.resume(run, store, { steps: 4 }),
		/above the 4 steps of the run to extend it but is 4; give more/,
	);
	t.equal(readFileSync(join(run, 'config.json'), 'utf8'), before);
	await train(await Trainer.resume(run, store, { steps: 5 }));
	await t.rejects(Trainer.resume(run, store, { steps: 5 }), /above the 5 steps/);
});

t.test('every schedule stays at its end', (t) => {
	for (const warmupFraction of [0, 0.03, 1])
		t.equal(learningRateAt(150, 100, { warmupFraction }), learningRateAt(100, 100, { warmupFraction }));
	for (const sftFraction of [0.5, 1]) {
		const { objective } = TrainConfig.parse({
			objective: {
				schedule: { kind: 'curriculum', sftFraction },
				latent: { target: { kind: 'ema', momentum: 0.9, finalMomentum: 1 }, weightWarmup: 1 },
			},
		});
		t.same(weightsAt(objective, 150, 100), weightsAt(objective, 100, 100));
		t.equal(targetRestartsAt(objective, 101, 100), false);
	}
	t.end();
});
