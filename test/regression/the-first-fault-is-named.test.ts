import { join } from 'node:path';
import t from 'tap';
import { NativeError, openTokenStore, prepareStore, Trainer } from '../../lib/index.js';
import { temporaryFolder } from '../fixtures/temporary-folder.js';
import { tinyPatient, writeTinyMeds } from '../fixtures/tiny-meds.js';

// The monitors take eigenvalues, which fail on such values with an error of their own.
t.test('a loss that is not finite is named, whether the collapse monitors are due or not', async (t) => {
	const folder = temporaryFolder(t);
	const patients = Array.from({ length: 40 }, (_, i) => tinyPatient(i + 1, [1, 5, 9, 12, 20]));
	await writeTinyMeds(join(folder, 'meds'), { '0.parquet': patients.flat() });
	await prepareStore(join(folder, 'meds'), join(folder, 'store'), { tokens: { kind: 'structured', minPatients: 1 } });
	const store = await openTokenStore(join(folder, 'store'));
	t.teardown(() => store.close());
	for (const collapseEvery of [1, 1000]) {
		await using trainer = await Trainer.create(join(folder, `run-${collapseEvery}`), store, {
			model: {
				hiddenSize: 16,
				intermediateSize: 32,
				numHiddenLayers: 1,
				numAttentionHeads: 2,
				numKeyValueHeads: 1,
				headDim: 8,
			},
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
