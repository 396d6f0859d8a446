import { dirname, join, normalize } from 'node:path';
import { z } from 'zod';
import { CheckpointError } from '../errors.js';
import { exists } from '../files/exists.js';
import { readJson } from '../files/json.js';
import type { NativeTensorEntry } from '../native.js';
import { type HuggingFaceConfig, readHuggingFaceConfig } from './huggingface-config.js';
import { readSafetensorsHeader } from './safetensors.js';

/** A model on disk: what it is and where each tensor lies, under the names of `Qwen3ForCausalLM`. */
export interface PretrainedModel {
	readonly directory: string;
	readonly config: HuggingFaceConfig;
	/** From the embedding's shape; may differ from `config.vocabSize`. */
	readonly vocabSize: number;
	/** Tensors to be read. */
	readonly entries: readonly NativeTensorEntry[];
	/** Tensors that are there and not read, each with the reason. */
	readonly unread: readonly { readonly name: string; readonly reason: string }[];
	/** What stands before `model.` in the file: empty, or `language_model.` */
	readonly prefix: string;
}

const Index = z.looseObject({ weight_map: z.record(z.string(), z.string()) });
const embedding = 'model.embed_tokens.weight';
const head = 'lm_head.weight';

/**
 * Opens `config.json` and `model.safetensors` or its shards, and checks that they hold exactly one Qwen3 decoder.
 * No weights are read yet.
 *
 * @throws {CheckpointError} Names the file, the tensor and the rule.
 */
export async function openPretrained(directory: string): Promise<PretrainedModel> {
	const config = await readHuggingFaceConfig(join(directory, 'config.json'));
	const stored = await storedTensors(directory);
	const { prefix, own, others } = withoutPrefix(directory, stored);
	const embed = own.find(({ name }) => name === embedding);
	const vocabSize = embed?.shape[0];
	if (vocabSize === undefined)
		return fail(directory, `tensor ${embedding} must be a matrix but is missing or a scalar`);
	const wanted = tensorShapes(config, vocabSize);
	const unread = others.map((name) => ({ name, reason: 'outside the language model' }));
	const entries: NativeTensorEntry[] = [];
	for (const entry of own) {
		const shape = wanted.get(entry.name);
		if (shape === undefined) {
			const reason = reasonNotRead(entry.name, config);
			if (reason === undefined) {
				fail(
					entry.path,
					`tensor ${entry.name} does not belong to a Qwen3 decoder of ${config.shape.numHiddenLayers} layers`,
				);
			} else unread.push({ name: entry.name, reason });
		} else if (shape.join() !== entry.shape.join()) {
			fail(
				entry.path,
				`tensor ${entry.name} must have shape [${shape.join(', ')}] by config.json but has [${entry.shape.join(', ')}]`,
			);
		} else entries.push(entry);
	}
	const found = new Set(entries.map(({ name }) => name));
	const missing = [...wanted.keys()].filter((name) => !found.has(name));
	if (missing.length > 0) {
		fail(directory, `must hold ${wanted.size} tensors but lacks ${missing.length}, the first is ${missing[0]}`);
	}
	return { directory, config, vocabSize, entries, unread, prefix };
}

/** Names and shapes of a decoder, in the order of the files. A tied head has no tensor of its own. */
export function tensorShapes({ shape }: Pick<HuggingFaceConfig, 'shape'>, vocabSize: number): Map<string, number[]> {
	const { hiddenSize, intermediateSize, headDim, numAttentionHeads, numKeyValueHeads } = shape;
	const query = numAttentionHeads * headDim;
	const keyValue = numKeyValueHeads * headDim;
	const shapes = new Map([[embedding, [vocabSize, hiddenSize]]]);
	for (let layer = 0; layer < shape.numHiddenLayers; layer++) {
		for (const [name, size] of [
			['input_layernorm', [hiddenSize]],
			['self_attn.q_proj', [query, hiddenSize]],
			['self_attn.k_proj', [keyValue, hiddenSize]],
			['self_attn.v_proj', [keyValue, hiddenSize]],
			['self_attn.o_proj', [hiddenSize, query]],
			['self_attn.q_norm', [headDim]],
			['self_attn.k_norm', [headDim]],
			['post_attention_layernorm', [hiddenSize]],
			['mlp.gate_proj', [intermediateSize, hiddenSize]],
			['mlp.up_proj', [intermediateSize, hiddenSize]],
			['mlp.down_proj', [hiddenSize, intermediateSize]],
		] as const) {
			shapes.set(`model.layers.${layer}.${name}.weight`, [...size]);
		}
	}
	shapes.set('model.norm.weight', [hiddenSize]);
	if (!shape.tieWordEmbeddings) shapes.set(head, [vocabSize, hiddenSize]);
	return shapes;
}

function fail(path: string, message: string): never {
	throw new CheckpointError(`[huggingface] ${path}: ${message}`);
}

async function storedTensors(directory: string): Promise<NativeTensorEntry[]> {
	const single = join(directory, 'model.safetensors');
	const indexFile = join(directory, 'model.safetensors.index.json');
	if (await exists(indexFile)) return shardedTensors(indexFile);
	if (!(await exists(single)))
		fail(directory, 'must hold model.safetensors or model.safetensors.index.json but holds neither');
	return [...(await readSafetensorsHeader(single)).entries];
}

async function shardedTensors(indexFile: string): Promise<NativeTensorEntry[]> {
	const index = Index.safeParse(await readJson(indexFile, { scope: 'huggingface', error: CheckpointError }));
	if (!index.success) return fail(indexFile, 'weight_map must map tensor names to file names');
	const map = new Map(Object.entries(index.data.weight_map));
	const entries: NativeTensorEntry[] = [];
	for (const shard of [...new Set(map.values())].sort()) {
		// The index is untrusted: a shard lies beside it.
		if (normalize(shard) !== shard || shard.includes('/') || shard.includes('\\') || shard === '..') {
			fail(indexFile, `weight_map must name files in its own folder but names ${JSON.stringify(shard)}`);
		}
		for (const entry of (await readSafetensorsHeader(join(dirname(indexFile), shard))).entries) {
			if (map.get(entry.name) !== shard) {
				fail(
					entry.path,
					`tensor ${entry.name} must be listed for this file in the index but is listed for ${map.get(entry.name) ?? 'none'}`,
				);
			}
			entries.push(entry);
		}
	}
	const found = new Set(entries.map(({ name }) => name));
	for (const [name, shard] of map) {
		if (!found.has(name)) fail(indexFile, `tensor ${name} must be in ${shard} but is not`);
	}
	return entries;
}

/** Renames `language_model.model.x` to `model.x`; the embedding tells what the prefix is. */
function withoutPrefix(directory: string, entries: readonly NativeTensorEntry[]) {
	const embeddings = entries.filter(({ name }) => name.endsWith(embedding));
	if (embeddings.length !== 1) {
		return fail(
			directory,
			`must hold one tensor ${embedding}, plain or behind a prefix, but holds ${embeddings.length}`,
		);
	}
	const prefix = embeddings[0]!.name.slice(0, -embedding.length);
	const own: NativeTensorEntry[] = [];
	const others: string[] = [];
	for (const entry of entries) {
		if (entry.name.startsWith(prefix)) own.push({ ...entry, name: entry.name.slice(prefix.length) });
		// Some wrappers keep the head outside.
		else if (entry.name === head) own.push(entry);
		else others.push(entry.name);
	}
	return { prefix, own, others };
}

function reasonNotRead(name: string, config: HuggingFaceConfig): string | undefined {
	if (name === head && config.shape.tieWordEmbeddings) return 'the head is tied to the embedding';
	// Older files store RoPE's frequencies, which follow from rope_theta.
	if (name.endsWith('rotary_emb.inv_freq')) return 'follows from rope_theta';
	return undefined;
}
