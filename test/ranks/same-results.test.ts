/**
 * Runs of several ranks against a run of one process on the same global batches. Processes of one number of ranks are started once, and
 * train all of their runs one after another.
 */
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { openTokenStore, prepareStore, type StepMetrics, type TrainConfigInput } from '../../lib/index.js';
import type { ParallelOptions } from '../../lib/train/parallel-options.js';
import { qwen3Folder } from '../fixtures/qwen3-tokenizer.js';
import { simulatedStore } from '../fixtures/simulated-store.js';
import { temporaryFolder } from '../fixtures/temporary-folder.js';
import { tinyModel } from '../fixtures/tiny-model.js';
import { lossesOf, newestTensors, type RunOfRanks, runAll, tinyRun, trainRuns } from './launched.js';

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

/** What the processes of so many ranks train. */
class Runs {
	readonly #folder: string;
	readonly #runs: RunOfRanks[] = [];
	constructor(
		readonly ranks: number,
		readonly of: 'store' | 'text' = 'store',
	) {
		this.#folder = join(folder, `${of}-on-${ranks}`);
	}
	/** @returns The folder that the run will have. */
	begin(config: TrainConfigInput): string {
		return join(this.#folder, `run-${this.#runs.push({ ...base, ...config }) - 1}`);
	}
	goOn(goesOn: string, steps: number, kind?: Kind): void {
		this.#runs.push({ goesOn, steps, kind });
	}
	train = () => trainRuns(join(folder, this.of), this.#folder, this.#runs, this.ranks);
}
type Kind = ParallelOptions['kind'];
const [one, two, three, four] = [new Runs(1), new Runs(2), new Runs(3), new Runs(4)];
const text = { one: new Runs(1, 'text'), two: new Runs(2, 'text') };
const kinds = ['ddp', 'zero1', 'zero2', 'zero3'] as const;

/** Each under every kind on two ranks. */
const variants: Record<
	string,
	{
		readonly config: Omit<TrainConfigInput, 'parallel'>;
		readonly shards: number;
		readonly more?: readonly (readonly [runs: Runs, kind: Kind])[];
	}
> = {
	'both losses': {
		config: { objective: { latent: { interferenceEvery: 3, antiCollapse: { variance: 0.1 } } } },
		shards: 4,
		more: [
			[three, 'ddp'],
			[four, 'zero2'],
			[three, 'zero3'],
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
	},
	'bfloat16 computation, a shard each': {
		config: { computeDtype: 'bfloat16', parameterDtype: 'bfloat16', activationCheckpointing: 'selective' },
		shards: 2,
	},
	'Muon, clipping by parameter': {
		config: { optimizer: { matrixUpdate: 'muon', clipBy: 'parameter', gradientClip: 0.1 } },
		shards: 2,
	},
	'LoRA, transformer predictor, ranks without a patient': {
		config: {
			tokensPerStep: 160,
			trainable: { kind: 'lora', rank: 4 },
			objective: { latent: { branch: { kind: 'state' } } },
		},
		shards: 4,
		more: [[four, 'zero3']],
	},
	'curriculum, LoRA, micro-batches, checkpointing': {
		config: {
			objective: { schedule: { kind: 'curriculum', sftFraction: 0.5 } },
			trainable: { kind: 'lora', rank: 4, dropout: 0.1 },
			microBatches: 2,
			activationCheckpointing: 'block',
		},
		shards: 2,
	},
};
const compared = Object.entries(variants).map(([name, { config, shards, more = [] }]) => {
	const withKind = (kind: Kind) => ({ ...config, parallel: { kind, virtualShards: shards } });
	const onTwo = kinds.map((kind) => [two, kind] as const);
	const others = [...onTwo, ...more].map(([runs, kind]) => ({
		of: `${kind} on ${runs.ranks} ranks`,
		run: runs.begin(withKind(kind)),
	}));
	return { name, alone: one.begin(withKind('ddp')), others };
});

// Of a vocabulary of which the loss head makes the logits of a rank's rows in more than one chunk.
const chunked = {
	tokensPerStep: 1152,
	contextTokens: 96,
	futureTokens: 48,
	steps: 1,
	collapseEvery: 0,
	tuningEvery: 0,
};
const heads = {
	alone: text.one.begin({ ...chunked, parallel: { virtualShards: 2 } }),
	others: kinds.map((kind) => ({ kind, run: text.two.begin({ ...chunked, parallel: { kind, virtualShards: 2 } }) })),
};
/** Logits of a chunk: native/ops/linear_cross_entropy. */
const chunkLogits = 64 * 2 ** 20;

// Without fixed shards.
const plain = [two.begin({}), one.begin({})] as const;

// Two steps by four ranks, or by one process: gone on with by another number.
const begun = {
	steps: 2,
	tuningEvery: 0,
	collapseEvery: 0,
	// Written while training waits; other runs write a copy beside it.
	checkpointCopy: false,
	parallel: { kind: 'zero3', virtualShards: 4 },
} as const;
const begunBy = { one: one.begin(begun), four: four.begin(begun) };
const goneOn = { one: one.begin(begun), two: begunBy.four, three: join(folder, 'gone-on-by-three') };
one.goOn(goneOn.one, 4);
two.goOn(goneOn.two, 4);
three.goOn(goneOn.three, 4);

// From each kind to each other.
const [first, ...then] = [
	...(['ddp', 'zero1', 'ddp', 'zero2', 'ddp', 'zero3'] as const),
	...(['zero1', 'zero2', 'zero1', 'zero3', 'zero2', 'zero3', 'ddp'] as const),
] as const;
const readEachTime = {
	// Of one update, instruments would take more than their share, and are not read.
	steps: 2,
	collapseEvery: 1,
	tuningEvery: 1,
	instruments: { readings: 1, tokens: 1152, share: 1 },
	checkpointCopy: false,
	parallel: { kind: first, virtualShards: 2 },
} as const;
const changes = { one: one.begin(readEachTime), two: two.begin(readEachTime) };
for (const [i, kind] of then.entries()) {
	one.goOn(changes.one, i + 3);
	two.goOn(changes.two, i + 3, kind);
}

let written: { readonly one: Record<string, Buffer>; readonly four: Record<string, Buffer> };
t.before(async () => {
	await (await simulatedStore(folder)).close();
	await prepareStore(join(folder, 'cohort'), join(folder, 'text'), {
		tokens: { kind: 'text', tokenizer: qwen3Folder },
	});
	for (const runs of [text.one, text.two]) await runs.train();
	await one.train();
	await four.train();
	written = { one: newestTensors(begunBy.one), four: newestTensors(begunBy.four) };
	cpSync(begunBy.one, goneOn.three, { recursive: true });
	await three.train();
	await two.train();
});

type Tap = Pick<typeof t, 'same' | 'ok'>;
function same(t: Tap, run: string, alone: string, what: string): void {
	t.same(lossesOf(run), lossesOf(alone), `${what}: losses, norms, monitors, tuning and instruments`);
	const [found, expected] = [newestTensors(run), newestTensors(alone)];
	t.same(Object.keys(found), Object.keys(expected));
	for (const [part, bytes] of Object.entries(expected)) t.ok(found[part]!.equals(bytes), `${what}: ${part}`);
}

for (const { name, alone, others } of compared) {
	t.test(`${name}: the same bits for ${others.map(({ of }) => of).join(', ')} as in one process`, async (t) => {
		for (const { of, run } of others) same(t, run, alone, of);
	});
}

t.test('a loss head in chunks: the same bits for two ranks of every kind as in one process', async (t) => {
	await using opened = await openTokenStore(join(folder, 'text'));
	for (const { tokens } of lossesOf(heads.alone) as StepMetrics[]) {
		t.ok(tokens / 2 > (1.2 * chunkLogits) / opened.vocabulary.size, `${tokens} tokens are two chunks of a rank`);
	}
	for (const { kind, run } of heads.others) same(t, run, heads.alone, kind);
});

t.test('a checkpoint of any number of ranks is gone on with on any other', async (t) => {
	t.same(written.four, written.one, 'what four write together is what one writes');
	for (const ranks of ['two', 'three'] as const) same(t, goneOn[ranks], goneOn.one, `gone on with by ${ranks}`);
});

t.test('a run goes on under any other kind, with instruments and monitors', async (t) => {
	const pairs = new Set(then.map((kind, i) => `${[first, ...then][i]} to ${kind}`));
	t.equal(pairs.size, 12, 'every pair of kinds');
	t.ok(
		lossesOf(changes.two).some((line) => 'valueReferences' in (line as object)),
		'instruments were read',
	);
	same(t, changes.two, changes.one, [...pairs].join(', '));
});

t.test('the command line goes on under another kind, and refuses what would change the results', async (t) => {
	const goOn = (...more: string[]) => ['train', store, changes.two, '--resume', ...more];
	const kind = ['--set', 'parallel.kind=zero2'];
	for (const args of [goOn('--steps', '15'), ['launch', '-n', '2', ...goOn('--steps', '16', ...kind)]]) {
		const { code, stderr } = await runAll(args);
		t.equal(code, 0, stderr);
	}
	for (const [setting, message] of [
		['parallel.kind=zero4', /parallel\.kind/],
		['seed=2', /continues with the run’s own options/],
	] as const) {
		const refused = await runAll(goOn('--set', setting));
		t.equal(refused.code, 2, refused.stderr);
		t.match(refused.stderr, message);
	}
});

/** Largest relative difference of numbers at the same places. */
function largestDifference(a: unknown, b: unknown): number {
	if (typeof a === 'number' && typeof b === 'number') return Math.abs(a - b) / Math.max(Math.abs(a), Math.abs(b), 1e-6);
	if (typeof a !== 'object' || a === null) return a === b ? 0 : Number.POSITIVE_INFINITY;
	return Math.max(
		0,
		...Object.entries(a).map(([key, value]) => largestDifference(value, (b as Record<string, unknown>)[key])),
	);
}

t.test('without fixed shards two ranks train as one process does, within rounding', async (t) => {
	const [ofTwo, ofOne] = plain.map((run) =>
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
		),
	);
	const difference = largestDifference(ofTwo, ofOne);
	t.ok(difference < 1e-3, `losses, norms and monitors differ by ${difference}`);
	t.ok(difference > 0, 'the sums do have another order');
	t.same(
		ofTwo!.map(({ tokens }) => tokens),
		ofOne!.map(({ tokens }) => tokens),
		'the same global batches',
	);
});
