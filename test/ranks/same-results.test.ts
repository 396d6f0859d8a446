/** Runs of several ranks against a run of one process on the same global batches. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { StepMetrics, TrainConfigInput } from '../../lib/index.js';
import { simulatedStore } from '../fixtures/simulated-store.js';
import { temporaryFolder } from '../fixtures/temporary-folder.js';
import { lossesOf, newestTensors, runAll, tinyRun } from './launched.js';

const folder = temporaryFolder(t);
const store = join(folder, 'store');
const base: TrainConfigInput = {
	...tinyRun,
	steps: 4,
	tokensPerStep: 384,
	collapseEvery: 2,
	tuningEvery: 3,
	tuningBatches: 3,
};

t.before(async () => {
	await (await simulatedStore(folder)).close();
});

async function train(name: string, ranks: number, config: TrainConfigInput): Promise<string> {
	const file = join(folder, `${name}.json`);
	writeFileSync(file, JSON.stringify({ ...base, ...config }));
	const run = join(folder, `${name}-${ranks}`);
	const command = ['train', store, run, '--config', file];
	const ended = await runAll(ranks === 1 ? command : ['launch', '-n', String(ranks), ...command]);
	if (ended.code !== 0) throw new Error(`${name} on ${ranks} ranks ended with ${ended.code}: ${ended.stderr}`);
	return run;
}

/** Largest relative difference of numbers at the same places. */
function largestDifference(a: unknown, b: unknown): number {
	if (typeof a === 'number' && typeof b === 'number') return Math.abs(a - b) / Math.max(Math.abs(a), Math.abs(b), 1e-6);
	if (typeof a !== 'object' || a === null) return a === b ? 0 : Number.POSITIVE_INFINITY;
	return Math.max(
		0,
		...Object.entries(a).map(([key, value]) => largestDifference(value, (b as Record<string, unknown>)[key])),
	);
}

const variants: Record<string, { readonly config: TrainConfigInput; readonly ranks: readonly number[] }> = {
	'both losses': {
		config: {
			parallel: { virtualShards: 4 },
			objective: { latent: { interferenceEvery: 3, antiCollapse: { variance: 0.1 } } },
		},
		ranks: [1, 2, 3],
	},
	'micro-batches, checkpointing, bfloat16': {
		config: {
			parallel: { virtualShards: 3 },
			microBatches: 2,
			tokensPerStep: 256,
			activationCheckpointing: 'block',
			parameterDtype: 'bfloat16',
		},
		ranks: [1, 2],
	},
	'lora, transformer predictor': {
		config: {
			parallel: { virtualShards: 4 },
			trainable: { kind: 'lora', rank: 4 },
			objective: { latent: { branch: { kind: 'state' } } },
		},
		ranks: [1, 4],
	},
};

for (const [name, { config, ranks }] of Object.entries(variants)) {
	t.test(`${name}: the same bits on ${ranks.join(', ')} ranks with fixed shards`, async (t) => {
		const file = name.replaceAll(/\W+/g, '-');
		const [first, ...others] = ranks;
		const alone = await train(file, first!, config);
		for (const count of others) {
			const run = await train(file, count, config);
			t.same(lossesOf(run), lossesOf(alone), `${count} ranks: losses, norms, monitors and tuning`);
			const [found, expected] = [newestTensors(run), newestTensors(alone)];
			t.same(Object.keys(found), Object.keys(expected));
			for (const [part, bytes] of Object.entries(expected)) t.ok(found[part]!.equals(bytes), `${count} ranks: ${part}`);
		}
	});
}

t.test('without fixed shards two ranks train as one process does, within rounding', async (t) => {
	const [alone, two] = [await train('plain', 1, {}), await train('plain', 2, {})];
	const steps = (run: string) =>
		(lossesOf(run) as StepMetrics[]).map(
			({ kind, step, tokens, loss, nextTokenLoss, latentLoss, gradientNorm, collapse }) => ({
				kind,
				step,
				tokens,
				loss,
				nextTokenLoss,
				latentLoss,
				gradientNorm,
				collapse,
			}),
		);
	const difference = largestDifference(steps(two), steps(alone));
	t.ok(difference < 1e-3, `losses, norms and monitors differ by ${difference}`);
	t.ok(difference > 0, 'the sums do have another order');
	t.same(
		steps(two).map(({ tokens }) => tokens),
		steps(alone).map(({ tokens }) => tokens),
		'the same global batches',
	);
});
