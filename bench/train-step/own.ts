/** Steps of ours through the public API, in a process of their own, as bench/peers/train_step.py takes the peer's. */
import { existsSync, readFileSync } from 'node:fs';
import { exportHuggingFace } from '../../lib/export/huggingface.js';
import type { StepOptions } from '../../lib/model/step-options.js';
import { WorldModel } from '../../lib/model/world-model.js';
import { type FixedBatch, trainingBatch } from './fixed-batch.js';
import { type BenchShapeName, benchShapes } from './shapes.js';

export type Variant = 'sft' | 'masked' | 'query' | 'embed';
export type Dtype = 'float32' | 'bfloat16';

/** What one process of ours or of a peer found. */
export interface Measured {
	/** The losses of the first steps, or the first state's first numbers: the other side must find the same. */
	readonly checked: readonly number[];
	/** Of the timed steps. */
	readonly seconds: readonly number[];
	/** Largest resident memory of the process. */
	readonly peakMiB: number;
	/** Of ours: what the thread of JavaScript works on each timed step, all of it outside native kernels. */
	readonly outsideSeconds?: readonly number[];
}

export type Asked =
	| { readonly write: BenchShapeName; readonly folder: string }
	| {
			readonly folder: string;
			readonly batch: string;
			readonly variant: Variant;
			readonly dtype: Dtype;
			readonly steps: number;
			readonly threads: number;
	  };

const latent = { sft: null, masked: {}, query: { branch: { kind: 'query' } } } as const;

/** Every token but the first carries loss: neither side gains by leaving rows out. */
function stepOptions(variant: keyof typeof latent, step: number): StepOptions {
	return { learningRate: 1e-4, step, objective: { nextToken: { on: 'all' }, latent: latent[variant] } };
}

/** Weights that both sides start from. */
async function write(name: BenchShapeName, folder: string): Promise<void> {
	const { shape, vocabSize } = benchShapes[name];
	await using model = new WorldModel({ shape, vocabSize, maskTokenId: vocabSize - 1, seed: 1 });
	await exportHuggingFace(model, folder, { parts: ['predictor'] });
}

/**
 * Seconds that the thread of JavaScript has worked so far. On Linux its own processor time: waiting for a core, while the
 * engine's threads have them all, is not work.
 */
function javaScriptSeconds(): number {
	const times = `/proc/self/task/${process.pid}/schedstat`;
	if (existsSync(times)) return Number(readFileSync(times, 'utf8').split(' ')[0]) / 1e9;
	return performance.eventLoopUtilization().active / 1000;
}

async function measure(asked: Extract<Asked, { batch: string }>): Promise<Measured> {
	const { folder, batch, variant, dtype, steps, threads } = asked;
	await using model = await WorldModel.fromPretrained(folder, { computeDtype: dtype, threads });
	const fixed = JSON.parse(readFileSync(batch, 'utf8')) as FixedBatch;
	const training = trainingBatch(fixed, variant === 'query' ? 'query' : 'masked');
	const found: number[][] = [];
	const seconds: number[] = [];
	const outside: number[] = [];
	for (let step = 1; step <= steps + 2; step++) {
		const before = javaScriptSeconds();
		const started = performance.now();
		if (variant === 'embed') found.push([...(await model.embed(training)).slice(0, 8)]);
		else found.push([(await model.step(training, stepOptions(variant, step))).loss]);
		if (step <= 2) continue;
		seconds.push((performance.now() - started) / 1000);
		outside.push(javaScriptSeconds() - before);
	}
	const checked = variant === 'embed' ? found[0]! : found.slice(0, 3).flat();
	return { checked, seconds, peakMiB: process.resourceUsage().maxRSS / 1024, outsideSeconds: outside };
}

const { EHR_JEPA_BENCH_STAGE = 'null' } = process.env;
const asked = JSON.parse(EHR_JEPA_BENCH_STAGE) as Asked | null;
if (asked !== null) {
	if ('write' in asked) await write(asked.write, asked.folder);
	process.send?.('write' in asked ? {} : await measure(asked));
}
