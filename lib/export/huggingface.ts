import { copyFile, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { z } from 'zod';
import { filePath, parseConfig } from '../config.js';
import { CheckpointError, ConfigError } from '../errors.js';
import { exists } from '../files/exists.js';
import { readJsonAs } from '../files/json.js';
import { requirePath } from '../files/path.js';
import { writeWhole, writeWholeFolder } from '../files/whole.js';
import { readHuggingFaceConfig } from '../model/huggingface-config.js';
import { predictorOf } from '../model/predictor.js';
import { weightShapes } from '../model/weight-shapes.js';
import type { WorldModel } from '../model/world-model.js';
import type { NativeStateKind, StorageDtype } from '../native.js';
import { packageVersion } from '../package-version.js';
import { type ExportSummary, summaryOf, syncAll, writeJson } from './folder.js';
import { writePeftAdapter } from './peft.js';
import { ShardSize, writeShards } from './shards.js';
import { tokenizerToCopy } from './tokenizer.js';

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
	/** Absent: those of `base`. */
	tokens: z
		.strictObject({
			bos: z.int().nonnegative().optional(),
			eos: z.union([z.int().nonnegative(), z.array(z.int().nonnegative())]).optional(),
			pad: z.int().nonnegative().optional(),
		})
		.prefault({}),
	/** Absent: that of `base`, else 40,960. */
	maxPositionEmbeddings: z.int().positive().optional(),
	/** Folder that training started from: what it says beside shape and dtype stays in both configurations. Absent: a note tells what does not. */
	base: filePath.optional(),
});
export type ExportOptions = z.input<typeof ExportOptions>;

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
	const base = config.base === undefined ? undefined : await readBase(config.base);
	const copies = await filesToCopy(config, model.options.vocabSize);
	return writeWholeFolder(directory, async (folder) => {
		if (peft) await writePeftAdapter(model, folder, { base: config.baseModel, dtype: config.dtype ?? 'float32' });
		else await writeWeights(model, folder, config, base);
		for (const part of config.parts) {
			const kind: NativeStateKind = peft && part === 'target_encoder' ? 'target_adapters' : part;
			await model.save(kind, join(folder, `${part}.safetensors`));
		}
		for (const source of copies) await copyFile(source, join(folder, basename(source)));
		if (config.card !== undefined) await writeWhole(join(folder, 'README.md'), config.card);
		await syncAll(folder);
		return summaryOf(directory, folder, peft || base !== undefined ? [] : await notKept(model, config));
	});
}

/** Config, generation config and the weights, adapters merged. */
async function writeWeights(
	model: WorldModel,
	folder: string,
	config: z.output<typeof ExportOptions>,
	base: Base | undefined,
): Promise<void> {
	const dtype = config.dtype ?? model.options.parameterDtype ?? 'float32';
	await writeJson(folder, 'config.json', configOf(model, dtype, config, base));
	await writeJson(folder, 'generation_config.json', {
		transformers_version: transformersVersion,
		...base?.generation,
		...specialTokens(config),
	});
	const bytes = new Map(
		[...weightShapes(model.options.shape, model.options.vocabSize)].map(([name, shape]) => [
			name,
			shape.reduce((product, length) => product * length, bytesOf[dtype]),
		]),
	);
	await writeShards(folder, bytes, config.maxShardSize, (file, names) => model.save('encoder', file, { dtype, names }));
}

/** What the folder that a model was opened from says and an export without `base` does not. */
async function notKept(model: WorldModel, config: z.output<typeof ExportOptions>): Promise<string[]> {
	const { source } = model;
	if (source === undefined) return [];
	if (!(await exists(join(source, 'config.json'))))
		return [`${source}, which the model was opened from, is gone: what it says of generation is not exported`];
	const base = await readBase(source);
	const kept: Readonly<Record<string, unknown>> = configOf(model, 'float32', config, base);
	const written: Readonly<Record<string, unknown>> = configOf(model, 'float32', config, undefined);
	const differs = (key: string) => JSON.stringify(kept[key]) !== JSON.stringify(written[key]);
	const given = specialTokens(config);
	const keys = (all: object) => Object.keys(all).filter((key) => key !== 'transformers_version' && !(key in given));
	const files = [
		['config.json', keys(kept).filter(differs)],
		['generation_config.json', keys(base.generation)],
	] as const;
	return files
		.filter(([, lost]) => lost.length > 0)
		.map(
			([name, lost]) => `not kept of ${join(source, name)}: ${lost.join(', ')}; give that folder as base to keep them`,
		);
}

/** What the folder that training started from says beside the model's shape. */
interface Base {
	readonly config: Readonly<Record<string, unknown>>;
	readonly generation: Readonly<Record<string, unknown>>;
}

async function readBase(directory: string): Promise<Base> {
	const { decoder } = await readHuggingFaceConfig(join(directory, 'config.json'));
	// dtype and what our own exports record are those of this export.
	const {
		dtype: _,
		torch_dtype: __,
		rope_parameters: ___,
		transformers_weights: ____,
		ehr_jepa: _____,
		...config
	} = decoder;
	const file = join(directory, 'generation_config.json');
	if (!(await exists(file))) return { config, generation: {} };
	return {
		config,
		generation: await readJsonAs(file, z.record(z.string(), z.unknown()), { scope: 'export', error: CheckpointError }),
	};
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

function configOf(
	{ options }: WorldModel,
	dtype: StorageDtype,
	config: z.output<typeof ExportOptions>,
	base: Base | undefined,
) {
	const { shape } = options;
	return {
		max_position_embeddings: 40_960,
		use_cache: true,
		transformers_version: transformersVersion,
		...base?.config,
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
		...(config.maxPositionEmbeddings === undefined ? {} : { max_position_embeddings: config.maxPositionEmbeddings }),
		attention_bias: false,
		attention_dropout: 0,
		use_sliding_window: false,
		torch_dtype: dtype,
		...specialTokens(config),
		ehr_jepa: {
			package: packageVersion,
			mask_token_id: options.maskTokenId,
			...(config.parts.includes('predictor') ? { predictor: predictorOf(options) } : {}),
		},
	};
}

async function filesToCopy({ tokenizer, files }: z.output<typeof ExportOptions>, vocabSize: number): Promise<string[]> {
	const result = [...files, ...(await tokenizerToCopy(tokenizer, vocabSize))];
	for (const file of result) {
		const readable = await stat(file).then(
			(status) => status.isFile(),
			() => false,
		);
		if (!readable) throw new ConfigError(`[export] files must be readable files but ${file} is none; check the path`);
	}
	return result;
}
