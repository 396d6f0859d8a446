/** Runs of several ranks against a run of one process on the same global batches. */
import { cpSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { StepMetrics, TrainConfigInput } from '../../lib/index.js';
import type { ParallelOptions as ParallelConfig } from '../../lib/train/parallel-options.js';
import { simulatedStore } from '../fixtures/simulated-store.js';
import { temporaryFolder } from '../fixtures/temporary-folder.js';
import { tinyModel } from '../fixtures/tiny-model.js';
import { lossesOf, newestTensors, runAll, tinyRun } from './launched.js';

const folder = temporaryFolder(t);
const store = join(folder, 'store');
const base: TrainConfigInput = {
	...tinyRun,
	// More than one block: weights that ranks share out are gathered ahead.
	model: { ...tinyModel, numHiddenLayers: 3 },
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

type Kind = ParallelConfig['kind'];
const variants: Record<
	string,
	{
		readonly config: Omit<TrainConfigInput, 'parallel'>;
		readonly shards: number;
		/** The first is the oracle. */
		readonly runs: readonly (readonly [ranks: number, kind: Kind])[];
	}
> = {
	'both losses': {
		config: { objective: { latent: { interferenceEvery: 3, antiCollapse: { variance: 0.1 } } } },
		shards: 4,
		runs: [
			[1, 'ddp'],
			[3, 'ddp'],
			[2, 'zero1'],
			[4, 'zero2'],
			[3, 'zero3'],
		],
	},
	'micro-batches, checkpointing, bfloat16': {
		config: {
			microBatches: 2,
			tokensPerStep: 256,
			activationCheckpointing: 'block',
			parameterDtype: 'bfloat16',
		},
		shards: 3,
		runs: [
			[1, 'ddp'],
			[2, 'zero3'],
		],
	},
	'bfloat16 computation, a shard each': {
		config: { computeDtype: 'bfloat16', parameterDtype: 'bfloat16', activationCheckpointing: 'selective' },
		shards: 2,
		runs: [
			[1, 'ddp'],
			[2, 'zero2'],
			[2, 'zero3'],
		],
	},
	'Muon, clipping by parameter': {
		config: { optimizer: { matrixUpdate: 'muon', clipBy: 'parameter', gradientClip: 0.1 } },
		shards: 2,
		runs: [
			[1, 'ddp'],
			[2, 'zero3'],
		],
	},
	'lora, transformer predictor, ranks without a patient': {
		config: {
			tokensPerStep: 160,
			trainable: { kind: 'lora', rank: 4 },
			objective: { latent: { branch: { kind: 'state' } } },
		},
		shards: 4,
		runs: [
			[1, 'ddp'],
			[4, 'zero3'],
		],
	},
};

for (const [name, { config, shards, runs }] of Object.entries(variants)) {
	t.test(`${name}: the same bits for ${runs.map((run) => run.join(' ')).join(', ')}`, async (t) => {
		const file = name.replaceAll(/\W+/g, '-');
		const [first, ...others] = runs;
		const withKind = (kind: Kind) => ({ ...config, parallel: { kind, virtualShards: shards } });
		const alone = await train(`${file}-ddp`, first![0], withKind('ddp'));
		for (const [count, kind] of others) {
			const run = await train(`${file}-${kind}`, count, withKind(kind));
			const of = `${kind} on ${count} ranks`;
			t.same(lossesOf(run), lossesOf(alone), `${of}: losses, norms, monitors and tuning`);
			const [found, expected] = [newestTensors(run), newestTensors(alone)];
			t.same(Object.keys(found), Object.keys(expected));
			for (const [part, bytes] of Object.entries(expected)) t.ok(found[part]!.equals(bytes), `${of}: ${part}`);
		}
	});
}

t.test('a checkpoint of any number of ranks is gone on with on any other', async (t) => {
	const begun = {
		steps: 2,
		tuningEvery: 0,
		collapseEvery: 0,
		// Written while training waits; other tests write a copy beside it.
		checkpointCopy: false,
		parallel: { kind: 'zero3', virtualShards: 4 },
	} as const;
	const [alone, four] = [await train('begun', 1, begun), await train('begun', 4, begun)];
	t.same(newestTensors(four), newestTensors(alone), 'what four write together is what one writes');
	const three = join(folder, 'on-three');
	cpSync(alone, three, { recursive: true });
	const goOn = (run: string) => ['train', store, run, '--resume', '--steps', '4'];
	for (const [run, ranks] of [
		[alone, 1],
		[four, 2],
		[three, 3],
	] as const) {
		const ended = await runAll(ranks === 1 ? goOn(run) : ['launch', '-n', String(ranks), ...goOn(run)]);
		t.equal(ended.code, 0, ended.stderr);
	}
	for (const run of [four, three]) {
		t.same(newestTensors(run), newestTensors(alone));
		t.same(lossesOf(run), lossesOf(alone));
	}
});

t.test('a run goes on under another kind, with instruments and monitors', async (t) => {
	const begun = {
		steps: 2,
		collapseEvery: 1,
		tuningEvery: 1,
		instruments: { readings: 1, tokens: 1152, share: 1 },
		checkpointCopy: false,
		parallel: { kind: 'zero3', virtualShards: 2 },
	} as const;
	const [alone, two] = [await train('kinds', 1, begun), await train('kinds', 2, begun)];
	// The bytes of a checkpoint are those of any kind.
	for (const [steps, kind] of [
		['3', 'ddp'],
		['4', 'zero1'],
		['5', 'zero2'],
	] as const) {
		const goOn = ['--resume', '--steps', steps];
		const change = [...goOn, '--set', `parallel.kind=${kind}`];
		const ended = [
			await runAll(['train', store, alone, ...goOn]),
			await runAll(['launch', '-n', '2', 'train', store, two, ...change]),
		];
		for (const { code, stderr } of ended) t.equal(code, 0, stderr);
	}
	t.ok(
		lossesOf(two).some((line) => 'valueReferences' in (line as object)),
		'instruments were read',
	);
	t.same(lossesOf(two), lossesOf(alone), 'losses, norms, monitors, tuning and instruments');
	t.same(newestTensors(two), newestTensors(alone));
	for (const [setting, message] of [
		['parallel.kind=zero4', /parallel\.kind/],
		['seed=2', /continues with the run’s own options/],
	] as const) {
		const refused = await runAll(['train', store, two, '--resume', '--set', setting]);
		t.equal(refused.code, 2, refused.stderr);
		t.match(refused.stderr, message);
	}
});

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
