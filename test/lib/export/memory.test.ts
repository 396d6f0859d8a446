/** Memory of an export: encoder and EMA of a run once each, and nothing of what only training needs. */
import { execFileSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { type TokenStore, type TrainConfigInput, Trainer } from '../../../lib/index.js';
import { simulatedStore } from '../../fixtures/simulated-store.js';
import { temporaryFolder } from '../../fixtures/temporary-folder.js';

const folder = temporaryFolder(t);
let store: TokenStore;
let small: Awaited<ReturnType<typeof exportedRun>>;
const shape = { numHiddenLayers: 4, numAttentionHeads: 8, numKeyValueHeads: 4, headDim: 64 };
const wide = { ...shape, hiddenSize: 512, intermediateSize: 1536 };
/** Of which a process takes what it takes for a model of any size. */
const narrow = { ...shape, hiddenSize: 64, intermediateSize: 64 };
const oneStep: TrainConfigInput = {
	computeDtype: 'float32',
	contextTokens: 32,
	futureTokens: 16,
	tokensPerStep: 64,
	steps: 1,
	tuningEvery: 0,
	tuningBatches: 1,
	collapseEvery: 0,
	instruments: null,
	threads: 1,
};
const script = fileURLToPath(new URL('peak-of-export.js', import.meta.url));
const largestWeight = wide.hiddenSize * wide.intermediateSize * 4;
/** Two processes differ by less. */
const spread = 25e6;

async function exportedRun(name: string, config: TrainConfigInput) {
	const run = join(folder, name);
	{
		await using trainer = await Trainer.create(run, store, config);
		for await (const _ of trainer.run(store));
	}
	const out = `${run}-exported`;
	const peaks = JSON.parse(execFileSync(process.execPath, [script, run, out], { encoding: 'utf8' }));
	const bytesOf = (part: string) => statSync(join(out, `${part}.safetensors`)).size;
	return {
		exported: peaks.exported as number,
		read: peaks.read as number,
		encoder: bytesOf('model'),
		target: bytesOf('target_encoder'),
		predictor: bytesOf('predictor'),
	};
}

t.before(async () => {
	store = await simulatedStore(folder);
	small = await exportedRun('narrow', { ...oneStep, model: narrow });
});
t.teardown(() => store.close());

for (const [name, config, held, merging] of [
	['all weights', oneStep, ['encoder', 'target', 'predictor'], 0],
	// The EMA is of the adapters, over the same base. A merged weight is the base's, B A, that scaled, and their sum.
	['LoRA', { ...oneStep, trainable: { kind: 'lora', rank: 2 } }, ['encoder', 'predictor'], 4],
] as const) {
	t.test(`${name}: an export holds what it writes once, without moments or pages of the files`, async (t) => {
		const large = await exportedRun(name.replace(' ', '-'), { ...config, model: wide });
		t.ok(large.encoder > 50e6 && large.target === large.encoder, `${large.encoder} bytes`);
		const weights = held.reduce((sum, part) => sum + large[part], 0);
		const [exported, read] = [large.exported - small.exported, large.read - small.read];
		const shown = `${exported} bytes, ${read} after reading with it, of ${weights} held`;
		t.ok(exported > weights - spread, `the peak is that of the weights: ${shown}`);
		t.ok(read < weights + merging * largestWeight + spread, shown);
	});
}
