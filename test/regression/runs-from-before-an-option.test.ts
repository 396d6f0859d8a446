import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { openModel, type TrainConfigInput, Trainer } from '../../lib/index.js';
import { simulatedStore } from '../fixtures/simulated-store.js';
import { temporaryFolder } from '../fixtures/temporary-folder.js';

// A checkpoint says what its run was made with. It was compared as written with config.json as read, defaults and all, so
// every run of the day before an option came was refused.
t.test('a run from before an option existed is opened and resumed', async (t) => {
	const folder = temporaryFolder(t);
	await using store = await simulatedStore(folder);
	const run = join(folder, 'run');
	const config: TrainConfigInput = {
		model: { hiddenSize: 16, intermediateSize: 32, numHiddenLayers: 1, numAttentionHeads: 2, headDim: 8 },
		objective: { latent: null },
		tokensPerStep: 256,
		steps: 2,
		threads: 1,
	};
	{
		await using trainer = await Trainer.create(run, store, config);
		for await (const _ of trainer.run(store));
	}
	for (const file of [join(run, 'config.json'), join(run, 'checkpoints', 'step-00000002', 'state.json')]) {
		const text = await readFile(file, 'utf8');
		const older = JSON.stringify(JSON.parse(text, (key, value) => (key === 'instruments' ? undefined : value)));
		t.notMatch(older, /instruments/);
		await writeFile(file, older);
	}
	const { model, step } = await openModel(run);
	t.equal(step, 2);
	await model.close();
	await using trainer = await Trainer.resume(run, store, { steps: 3 });
	for await (const _ of trainer.run(store));
	t.equal(trainer.step, 3);
});
