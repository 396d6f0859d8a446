import { join } from 'node:path';
import t from 'tap';
import { NativeError, openTokenStore, Trainer } from '../../lib/index.js';
import { temporaryFolder } from '../fixtures/temporary-folder.js';
import { prepareTinyStore, tinyModel } from '../fixtures/tiny-model.js';

// The monitors take eigenvalues, which fail on such values with an error of their own.
t.test('a loss that is not finite is named, whether the collapse monitors are due or not', async (t) => {
	const folder = temporaryFolder(t);
	await prepareTinyStore(folder);
	const store = await openTokenStore(join(folder, 'store'));
	t.teardown(() => store.close());
	for (const collapseEvery of [1, 1000]) {
		await using trainer = await Trainer.create(join(folder, `run-${collapseEvery}`), store, {
			model: tinyModel,
			contextTokens: 32,
			futureTokens: 16,
			tokensPerStep: 64,
			steps: 20,
			collapseEvery,
			tuningEvery: 0,
			optimizer: { learningRate: 1e30, warmupFraction: 0 },
		});
		const error = await (async () => {
			for await (const _ of trainer.run(store));
		})().then(
			() => undefined,
			(cause: Error) => cause,
		);
		t.type(error, NativeError, `monitors every ${collapseEvery} steps`);
		t.match(error?.message, /\[step\] (loss|gradient norm) must be finite/);
	}
});
