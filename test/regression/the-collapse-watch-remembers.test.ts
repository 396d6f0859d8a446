/** A run that is stopped and resumed again and again warns of a collapse as one that never stops. */
import { join } from 'node:path';
import t from 'tap';
import { openTokenStore, Trainer } from '../../lib/index.js';
import type { TrainConfigInput } from '../../lib/train/train-config.js';
import { temporaryFolder } from '../fixtures/temporary-folder.js';
import { prepareTinyStore, tinyModel } from '../fixtures/tiny-model.js';

const folder = temporaryFolder(t);
const steps = 100;
/** Nothing keeps this latent space open: the target follows at once, and no other loss holds it. */
const config: TrainConfigInput = {
	model: tinyModel,
	objective: { nextToken: null, latent: { target: { kind: 'ema', momentum: 0 } } },
	optimizer: { learningRate: 0.02 },
	steps,
	contextTokens: 24,
	futureTokens: 12,
	tokensPerStep: 128,
	tuningBatches: 1,
	collapseEvery: 10,
};

t.test('stopped after every 20 steps, with two readings in each part', { timeout: 180_000 }, async (t) => {
	const store = await openTokenStore(await prepareTinyStore(folder));
	t.teardown(() => store.close());

	const straight: string[] = [];
	{
		await using trainer = await Trainer.create(join(folder, 'straight'), store, config);
		for await (const _ of trainer.run(store, { onWarning: (message) => straight.push(message) }));
	}
	t.ok(straight.length > 0 && straight.every((message) => message.startsWith('[collapse] step ')), straight.join('\n'));

	const stopped: string[] = [];
	const onWarning = (message: string) => stopped.push(message);
	for (let from = 0; from < steps; from += 20) {
		await using trainer =
			from === 0
				? await Trainer.create(join(folder, 'stopped'), store, config)
				: await Trainer.resume(join(folder, 'stopped'), store, { onWarning });
		t.equal(trainer.step, from);
		for await (const { step } of trainer.run(store, { onWarning })) if (step === from + 20) break;
	}
	t.same(stopped, straight, 'the same warnings at the same steps, each once');
});
