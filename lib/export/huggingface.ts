import { copyFile, open, readdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { z } from 'zod';
import { filePath, parseConfig } from '../config.js';
import { ConfigError } from '../errors.js';
import { requirePath } from '../files/path.js';
import { writeWhole, writeWholeFolder } from '../files/whole.js';
import { predictorOf } from '../model/predictor.js';
import { tensorShapes } from '../model/pretrained.js';
import { readSafetensorsHeader } from '../model/safetensors.js';
import type { WorldModel } from '../model/world-model.js';
import type { NativeStateKind, StorageDtype } from '../native.js';
import { packageVersion } from '../package-version.js';
import { tokenizerFileNames } from '../tokenizer/tokenizer-files.js';
import { writePeftAdapter } from './peft.js';

/** `5GB`, `200MB`, `1KB` (decimal, as transformers counts) or a number of bytes. */
const ShardSize = z.union([
	z.int().positive(),
	z
		.string()
		.regex(/^\d+(\.\d+)?\s*[KMG]B$/i, 'must look like 5GB or 200MB')
		.transform((text) =>
			Math.floor(Number.parseFloat(text) * { K: 1e3, M: 1e6, G: 1e9 }[text.at(-2)!.toUpperCase() as 'K' | 'M' | 'G']),
		),
]);

export const ExportOptions = z.strictObject({
	/** dtype on disk; absent: that of the parameters, so that nothing is rounded. */
	dtype: z.enum(['float32', 'float16', 'bfloat16']).optional(),
	maxShardSize: ShardSize.default(5e9),
	/** Of a model trained with LoRA: merged into the weights, or alone, for `peft` over the base. */
	adapters: z.enum(['merge', 'peft']).default('merge'),
	/** With `peft`: folder or hub name of the base, as `from_pretrained` takes it. */
	baseModel: z.string().min(1).optional(),
	/** Folder whose tokenizer files are copied. */
	tokenizer: filePath.optional(),
	/** Other files to be copied beside the weights, such as the vocabulary of a token store. */
	files: z.array(filePath).default([]),
	/** What training adds to the encoder, each in a file of its own; with `peft` the target encoder is its adapter. */
	parts: z.array(z.enum(['predictor', 'target_encoder'])).default([]),
	/** README.md of the folder (Markdown). */
	card: z.string().optional(),
	tokens: z
		.strictObject({
			bos: z.int().nonnegative().optional(),
			eos: z.union([z.int().nonnegative(), z.array(z.int().nonnegative())]).optional(),
			pad: z.int().nonnegative().optional(),
		})
		.prefault({}),
	maxPositionEmbeddings: z.int().positive().default(40_960),
});
export type ExportOptions = z.input<typeof ExportOptions>;

export interface ExportSummary {
	readonly directory: string;
	readonly files: readonly { readonly name: string; readonly bytes: number }[];
	readonly tensors: number;
	readonly bytes: number;
}

const bytesOf: Readonly<Record<StorageDtype, number>> = { float32: 4, float16: 2, bfloat16: 2 };

/**
 * Writes a folder that `AutoModelForCausalLM.from_pretrained` opens: config, generation config, safetensors (in shards
 * with an index when they exceed `maxShardSize`), tokenizer files, model card; or one that `PeftModel.from_pretrained`
 * opens, with the adapter alone. The folder appears whole or not at all.
 *
 * @param directory - New or empty.
 * @throws {ConfigError} {OutputError}
 */
export async function exportHuggingFace(
	model: WorldModel,
	directory: string,
	options: ExportOptions = {},
): Promise<ExportSummary> {
	requirePath('export', 'directory', directory);
	const config = parseConfig('export', ExportOptions, options);
	const peft = config.adapters === 'peft';
	if (!peft && config.baseModel !== undefined) {
		throw new ConfigError(
			`[export] baseModel belongs to adapters "peft" but they are merged into the weights; leave out "${config.baseModel}"`,
		);
	}
	const copies = await filesToCopy(config);
	return writeWholeFolder(directory, async (folder) => {
		if (peft) await writePeftAdapter(model, folder, { base: config.baseModel, dtype: config.dtype ?? 'float32' });
		else await writeWeights(model, folder, config);
		for (const part of config.parts) {
			const kind: NativeStateKind = peft && part === 'target_encoder' ? 'target_adapters' : part;
			await model.save(kind, join(folder, `${part}.safetensors`));
		}
		for (const source of copies) await copyFile(source, join(folder, basename(source)));
		if (config.card !== undefined) await writeWhole(join(folder, 'README.md'), config.card);
		await syncAll(folder);
		const files = await Promise.all(
			(await readdir(folder)).sort().map(async (name) => ({ name, bytes: (await stat(join(folder, name))).size })),
		);
		return { directory, files, ...(await weightsIn(folder, files)) };
	});
}

/** Config, generation config and the weights, adapters merged. */
async function writeWeights(model: WorldModel, folder: string, config: z.output<typeof ExportOptions>): Promise<void> {
	const dtype = config.dtype ?? model.options.parameterDtype ?? 'float32';
	const shapes = tensorShapes({ shape: model.options.shape }, model.options.vocabSize);
	const shards = planShards(shapes, bytesOf[dtype], config.maxShardSize);
	const json = (name: string, value: unknown) =>
		writeWhole(join(folder, name), `${JSON.stringify(value, undefined, 2)}\n`);
	await json('config.json', configOf(model, dtype, config));
	await json('generation_config.json', { ...specialTokens(config), transformers_version: transformersVersion });
	const weightMap: Record<string, string> = {};
	for (const [index, names] of shards.entries()) {
		const file = shardName(index, shards.length);
		await model.save('encoder', join(folder, file), { dtype, names });
		for (const name of names) weightMap[name] = file;
	}
	if (shards.length > 1) {
		const elements = [...shapes.values()].reduce((sum, shape) => sum + shape.reduce((a, b) => a * b, 1), 0);
		await json('model.safetensors.index.json', {
			metadata: { total_size: elements * bytesOf[dtype] },
			weight_map: weightMap,
		});
	}
}

/** Tensors of the model or of the adapter, and their bytes. */
async function weightsIn(folder: string, files: ExportSummary['files']) {
	let tensors = 0;
	let bytes = 0;
	for (const { name } of files.filter(({ name }) => /^(adapter_)?model(-.*)?\.safetensors$/.test(name))) {
		for (const { begin, end } of (await readSafetensorsHeader(join(folder, name))).entries) {
			tensors++;
			bytes += end - begin;
		}
	}
	return { tensors, bytes };
}

// The first version of transformers with Qwen3; it and later ones read the keys below.
const transformersVersion = '4.51.0';

function specialTokens({ tokens }: z.output<typeof ExportOptions>) {
	return {
		...(tokens.bos === undefined ? {} : { bos_token_id: tokens.bos }),
		...(tokens.eos === undefined ? {} : { eos_token_id: tokens.eos }),
		...(tokens.pad === undefined ? {} : { pad_token_id: tokens.pad }),
	};
}

function configOf({ options }: WorldModel, dtype: StorageDtype, config: z.output<typeof ExportOptions>) {
	const { shape } = options;
	return {
		architectures: ['Qwen3ForCausalLM'],
		model_type: 'qwen3',
		vocab_size: options.vocabSize,
		hidden_size: shape.hiddenSize,
		intermediate_size: shape.intermediateSize,
		num_hidden_layers: shape.numHiddenLayers,
		num_attention_heads: shape.numAttentionHeads,
		num_key_value_heads: shape.numKeyValueHeads,
		head_dim: shape.headDim,
		hidden_act: 'silu',
		rms_norm_eps: shape.rmsNormEps,
		rope_theta: shape.ropeTheta,
		rope_scaling: null,
		tie_word_embeddings: shape.tieWordEmbeddings,
		initializer_range: shape.initializerRange,
		max_position_embeddings: config.maxPositionEmbeddings,
		attention_bias: false,
		attention_dropout: 0,
		use_sliding_window: false,
		use_cache: true,
		torch_dtype: dtype,
		...specialTokens(config),
		transformers_version: transformersVersion,
		ehr_jepa: {
			package: packageVersion,
			mask_token_id: options.maskTokenId,
			...(config.parts.includes('predictor') ? { predictor: predictorOf(options) } : {}),
		},
	};
}

/** Tensors in file order, cut where the next one would exceed the limit; a tensor beyond the limit has its own file. @internal */
export function planShards(
	shapes: ReadonlyMap<string, readonly number[]>,
	bytesPerElement: number,
	maxBytes: number,
): string[][] {
	const shards: string[][] = [];
	let room = 0;
	for (const [name, shape] of shapes) {
		const bytes = shape.reduce((product, length) => product * length, bytesPerElement);
		const open = shards.at(-1);
		if (open === undefined || bytes > room) {
			shards.push([name]);
			room = maxBytes - bytes;
		} else {
			open.push(name);
			room -= bytes;
		}
	}
	return shards;
}

function shardName(index: number, count: number): string {
	if (count === 1) return 'model.safetensors';
	const number = (value: number) => String(value).padStart(5, '0');
	return `model-${number(index + 1)}-of-${number(count)}.safetensors`;
}

async function filesToCopy({ tokenizer, files }: z.output<typeof ExportOptions>): Promise<string[]> {
	const result = [...files];
	if (tokenizer !== undefined) {
		const there = new Set(await readdir(tokenizer).catch(() => []));
		const found = tokenizerFileNames.filter((name) => there.has(name));
		if (!found.includes('tokenizer.json') && !(found.includes('vocab.json') && found.includes('merges.txt'))) {
			throw new ConfigError(
				`[export] tokenizer must be a folder with tokenizer.json, or vocab.json and merges.txt, but ${tokenizer} holds ${found.join(', ') || 'none of them'}`,
			);
		}
		result.push(...found.map((name) => join(tokenizer, name)));
	}
	for (const file of result) {
		const readable = await stat(file).then(
			(status) => status.isFile(),
			() => false,
		);
		if (!readable) throw new ConfigError(`[export] files must be readable files but ${file} is not`);
	}
	return result;
}

async function syncAll(folder: string): Promise<void> {
	for (const name of [...(await readdir(folder)), '.']) {
		const handle = await open(join(folder, name), 'r');
		try {
			await handle.sync();
		} finally {
			await handle.close();
		}
	}
}
