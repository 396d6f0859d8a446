import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { parseConfig } from '../../lib/config.js';
import type { ComputeDtype } from '../../lib/model/compute-dtype.js';
import { LoraOptions } from '../../lib/model/lora.js';
import { WorldModel } from '../../lib/model/world-model.js';
import type { NativeTrainingBatch } from '../../lib/native.js';
import { noBranches } from '../../lib/sample/branches.js';
import { readFloatTensors } from './float-tensors.js';

const Inputs = z.strictObject({
	made_with: z.record(z.string(), z.string()),
	seed: z.int(),
	sequences: z.array(z.array(z.int().nonnegative()).min(2)).min(1),
	steps: z.int().positive(),
	optimizer: z.strictObject({
		learningRate: z.number(),
		beta1: z.number(),
		beta2: z.number(),
		epsilon: z.number(),
		weightDecay: z.number(),
		gradientClip: z.number(),
	}),
});

/** One tensor of ours against transformers'. Errors are |ours - theirs| / |theirs|, Euclidean over the tensor. */
export interface ParityRow {
	readonly dtype: ComputeDtype;
	/**
	 * `logits`, `hidden`, `loss`, `grad.<parameter>`, `step3.<parameter>` (bfloat16: `all steps`), `losses`, and with
	 * adapters `merged.<weight>` (float32).
	 */
	readonly tensor: string;
	readonly error: number;
	/** What is allowed: 1e-5 in float32; twice transformers' own bfloat16 error in bfloat16. */
	readonly limit: number;
}

export const float32Limit = 1e-5;
// A tensor that transformers' bfloat16 hits by luck (one number, such as the loss) must not forbid ours one rounding.
const bfloat16Rounding = 2 ** -9;
const lossOptions = { objective: { latent: null, nextToken: { on: 'all' } } } as const;

/**
 * Compares this package with a fixture of scripts/parity/make_fixture.py: one packed forward and backward pass of all
 * sequences against transformers' separate ones, and the weights after AdamW steps.
 */
export async function compareWithFixture(directory: string): Promise<ParityRow[]> {
	const text = await readFile(join(directory, 'inputs.json'), 'utf8');
	const inputs = parseConfig(`${directory}/inputs.json`, Inputs, JSON.parse(text));
	const expected = await readFloatTensors(join(directory, 'expected.safetensors'));
	const scratch = await mkdtemp(join(tmpdir(), 'ehr-jepa-parity-'));
	try {
		const rows: ParityRow[] = [];
		for (const dtype of ['float32', 'bfloat16'] as const) {
			const found = await computed(directory, inputs, dtype, scratch);
			for (const [name, values] of dtype === 'bfloat16' ? joinedSteps(found) : found) {
				const theirs = tensorsOf(expected, 'float32', name, directory);
				const limit =
					dtype === 'float32'
						? float32Limit
						: 2 * relativeError(tensorsOf(expected, 'bfloat16', name, directory), theirs) +
							bfloat16Rounding * Number(name.startsWith('loss'));
				const counted =
					dtype === 'float32' && /^step\d+\./.test(name)
						? withoutNoise(values, theirs, expected.get(`float32.grad.${name.replace(/^step\d+\./, '')}`))
						: values;
				rows.push({ dtype, tensor: name, error: relativeError(counted, theirs), limit });
			}
			const missing = [...expected.keys()].filter(
				(name) => name.startsWith(`${dtype}.`) && !found.has(name.slice(dtype.length + 1)),
			);
			if (missing.length > 0) throw new Error(`[parity] nothing was computed for ${missing.join(', ')}`);
		}
		return rows;
	} finally {
		await rm(scratch, { recursive: true, force: true });
	}
}

async function computed(
	directory: string,
	inputs: z.output<typeof Inputs>,
	computeDtype: ComputeDtype,
	scratch: string,
) {
	const lora = await adapterOptions(directory);
	const model = await WorldModel.fromPretrained(directory, { computeDtype, ...(lora === undefined ? {} : { lora }) });
	try {
		if (lora !== undefined) await model.load('adapters', join(directory, 'adapter', 'adapter_model.safetensors'));
		const batch = packed(inputs.sequences);
		const tracePath = join(scratch, 'trace.safetensors');
		await model.trace(batch, lossOptions, tracePath);
		const found = await readFloatTensors(tracePath);
		for (const name of [...found.keys()]) if (name.startsWith('grad.predictor')) found.delete(name);
		if (lora !== undefined && computeDtype === 'float32') {
			const mergedPath = join(scratch, 'merged.safetensors');
			await model.save('encoder', mergedPath);
			for (const [name, values] of await readFloatTensors(mergedPath)) {
				if (lora.targets.some((target) => name.endsWith(`.${target}.weight`))) found.set(`merged.${name}`, values);
			}
		}
		const losses: number[] = [];
		for (let step = 0; step < inputs.steps; step++) {
			const result = await model.step(batch, {
				...lossOptions,
				...inputs.optimizer,
			});
			losses.push(result.loss);
		}
		found.set('losses', Float32Array.from(losses));
		const weightsPath = join(scratch, 'weights.safetensors');
		await model.save(lora === undefined ? 'encoder' : 'adapters', weightsPath);
		for (const [name, values] of await readFloatTensors(weightsPath)) found.set(`step${inputs.steps}.${name}`, values);
		return found;
	} finally {
		await model.close();
	}
}

/** What peft wrote about the fixture's adapter; undefined without one. */
async function adapterOptions(directory: string): Promise<LoraOptions | undefined> {
	const text = await readFile(join(directory, 'adapter', 'adapter_config.json'), 'utf8').catch(() => undefined);
	if (text === undefined) return undefined;
	const { r, lora_alpha, lora_dropout, target_modules } = JSON.parse(text);
	return LoraOptions.parse({ rank: r, alpha: lora_alpha, dropout: lora_dropout, targets: target_modules });
}

function packed(sequences: readonly (readonly number[])[]): NativeTrainingBatch {
	const cuSeqlens = [0];
	for (const { length } of sequences) cuSeqlens.push(cuSeqlens.at(-1)! + length);
	return {
		tokens: Int32Array.from(sequences.flat()),
		cuSeqlens: Int32Array.from(cuSeqlens),
		positionIds: Int32Array.from(sequences.flatMap((sequence) => sequence.map((_, i) => i))),
		contextLengths: Int32Array.from(sequences, () => 1),
		branches: noBranches,
	};
}

const everyStep = /^step\d+\./;

/**
 * The parameters after the steps as one vector. Adam's first steps are lr times the sign of the gradient, which for a
 * gradient near zero is the sign of rounding: in bfloat16 a single small tensor is a matter of luck.
 */
function joinedSteps(tensors: ReadonlyMap<string, Float32Array>): Map<string, Float32Array> {
	const joined = new Map([...tensors].filter(([name]) => !everyStep.test(name)));
	return joined.set('all steps', concatenated(tensors));
}

function concatenated(tensors: ReadonlyMap<string, Float32Array>): Float32Array {
	const names = [...tensors.keys()].filter((name) => everyStep.test(name)).sort();
	const parts = names.map((name) => tensors.get(name)!);
	const result = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
	let offset = 0;
	for (const part of parts) {
		result.set(part, offset);
		offset += part.length;
	}
	return result;
}

function tensorsOf(
	tensors: ReadonlyMap<string, Float32Array>,
	dtype: ComputeDtype,
	name: string,
	directory: string,
): Float32Array {
	if (name === 'all steps') {
		const own = [...tensors].filter(([key]) => key.startsWith(`${dtype}.`));
		return concatenated(new Map(own.map(([key, values]) => [key.slice(dtype.length + 1), values])));
	}
	const found = tensors.get(`${dtype}.${name}`);
	if (found === undefined) {
		throw new Error(`[parity] ${directory}/expected.safetensors must hold ${dtype}.${name} but does not`);
	}
	return found;
}

function relativeError(found: Float32Array, expected: Float32Array): number {
	if (found.length !== expected.length) return Number.POSITIVE_INFINITY;
	let difference = 0;
	let size = 0;
	for (let i = 0; i < expected.length; i++) {
		difference += (found[i]! - expected[i]!) ** 2;
		size += expected[i]! ** 2;
	}
	// NaN on either side is a failure, not a number below the limit.
	const error = size === 0 ? Math.sqrt(difference) : Math.sqrt(difference / size);
	return Number.isNaN(error) ? Number.POSITIVE_INFINITY : error;
}

/**
 * Weights after AdamW steps, with theirs where the first gradient is below what float32 gradients agree to: AdamW divides
 * a gradient by its own size, so there it makes a whole step of a rounding error. More than one element in a hundred and
 * nothing is left out.
 */
function withoutNoise(found: Float32Array, expected: Float32Array, gradient: Float32Array | undefined): Float32Array {
	if (gradient === undefined || gradient.length !== found.length) return found;
	const size = Math.sqrt(gradient.reduce((sum, value) => sum + value ** 2, 0) / gradient.length);
	const isNoise = gradient.map((value) => Number(value !== 0 && Math.abs(value) < float32Limit * size));
	if (isNoise.reduce((sum, value) => sum + value, 0) > gradient.length / 100) return found;
	return found.map((value, i) => (isNoise[i] === 1 ? expected[i]! : value));
}

/** Largest error per class of tensors, against its limit. */
export function summarise(rows: readonly ParityRow[]): string {
	const classOf = ({ dtype, tensor }: ParityRow) => `${dtype.padEnd(9)} ${tensor.replace(/\..*/, '')}`;
	const classes = [...new Set(rows.map(classOf))];
	const lines = classes.map((name) => {
		const members = rows.filter((row) => classOf(row) === name);
		const worst = members.reduce((a, b) => (b.error / b.limit > a.error / a.limit ? b : a));
		const passed = members.every(({ error, limit }) => error <= limit);
		return `${passed ? 'ok    ' : 'FAILED'} ${name.padEnd(18)} ${String(members.length).padStart(3)} tensors, worst ${worst.error.toExponential(2)} of ${worst.limit.toExponential(2)} (${worst.tensor})`;
	});
	return lines.join('\n');
}
