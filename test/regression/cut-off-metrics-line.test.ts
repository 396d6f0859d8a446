import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { openTokenStore, prepareStore, simulateCohort, Trainer } from '../../lib/index.js';
import { temporaryFolder } from '../fixtures/temporary-folder.js';
import { tinyModel } from '../fixtures/tiny-model.js';

// A crash right after a checkpoint can cut off a metrics line of the checkpoint's own step; the next line was glued to it.
t.test('a metrics line cut off by a crash does not spoil the lines after it', async (t) => {
	const folder = temporaryFolder(t);
	await simulateCohort(join(folder, 'cohort'), { patients: 30 });
	await prepareStore(join(folder, 'cohort'), join(folder, 'store'));
	const store = await openTokenStore(join(folder, 'store'));
	const run = join(folder, 'run');
	const model = tinyModel;
	{
		await using trainer = await Trainer.create(run, store, {
			model,
			contextTokens: 32,
			futureTokens: 16,
			tokensPerStep: 128,
			steps: 4,
		});
		for await (const { step } of trainer.run(store)) if (step === 2) break;
	}
	appendFileSync(join(run, 'metrics.jsonl'), '{"kind":"tuning","step":2,"nextTok');
	{
		await using trainer = await Trainer.resume(run, store);
		for await (const _ of trainer.run(store));
		t.same(
			(await trainer.folder.metrics()).filter(({ kind }) => kind === 'train').map(({ step }) => step),
			[1, 2, 3, 4],
		);
	}
	await store.close();
});
