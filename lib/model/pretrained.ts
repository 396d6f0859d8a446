import { join } from 'node:path';
import { CheckpointError } from '../errors.js';
import { requirePath } from '../files/path.js';
import type { NativeTensorEntry } from '../native.js';
import { requireNoAdapter } from './adapter-config.js';
import { decoderTensors, embeddingName, headName } from './decoder-tensors.js';
import { type HuggingFaceConfig, readHuggingFaceConfig } from './huggingface-config.js';
import { asWeight, type StoredTensor } from './safetensors.js';
import { storedTensors } from './stored-tensors.js';
import { requireTiedHead } from './tied-head.js';

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
	/** What stands before `embed_tokens` in the file: `model.`, nothing in a bare `Qwen3Model`, or a wrapper's. */
	readonly prefix: string;
	/** Where files and `config.json` say different things, and which of them counts; for people. */
	readonly notes: readonly string[];
}

/**
 * Opens `config.json` and `model.safetensors` or its shards, and checks that they hold exactly one Qwen3 decoder, which
 * `transformers` would read as the same one. No weights are loaded yet; a head that is stored although it is tied is
 * compared with the embedding.
 *
 * @throws {CheckpointError} Names the file, the tensor and the rule.
 */
export async function openPretrained(directory: string): Promise<PretrainedModel> {
	requirePath('huggingface', 'directory', directory);
	await requireNoAdapter(directory);
	const config = await readHuggingFaceConfig(join(directory, 'config.json'));
	const stored = await storedTensors(directory);
	// Of any vocabulary: which names there are does not hang on it.
	const names = new Set([...tensorShapes(config, 1).keys(), headName]);
	const { prefix, own, others } = decoderTensors(directory, stored.tensors, (name) => names.has(name));
	const embed = own.find(({ name }) => name === embeddingName);
	const vocabSize = embed?.shape[0];
	if (embed === undefined || vocabSize === undefined)
		return fail(directory, `tensor ${embeddingName} must be a matrix but is a scalar`);
	const wanted = tensorShapes(config, vocabSize);
	const unread = others.map((name) => ({ name, reason: 'outside the language model' }));
	const entries: NativeTensorEntry[] = [];
	for (const tensor of own) {
		const shape = wanted.get(tensor.name);
		if (shape === undefined) unread.push({ name: tensor.name, reason: await reasonNotRead(tensor, embed, config) });
		else if (shape.join() !== tensor.shape.join()) {
			fail(
				tensor.path,
				`tensor ${tensor.name} must have shape [${shape.join(', ')}] by config.json but has [${tensor.shape.join(', ')}]`,
			);
		} else entries.push(asWeight(tensor));
	}
	const found = new Set(entries.map(({ name }) => name));
	const missing = [...wanted.keys()].filter((name) => !found.has(name));
	if (missing.length > 0) {
		const fix =
			missing[0] === headName
				? '; a model saved without its head needs tie_word_embeddings true in config.json, to share the embedding, or the head'
				: '';
		fail(directory, `must hold ${wanted.size} tensors but lacks ${missing.length}, the first is ${missing[0]}${fix}`);
	}
	if (config.maskTokenId !== undefined && config.maskTokenId >= vocabSize) {
		fail(
			join(directory, 'config.json'),
			`ehr_jepa.mask_token_id must be a row of the embedding (below ${vocabSize}) but is ${config.maskTokenId}`,
		);
	}
	return {
		directory,
		config,
		vocabSize,
		entries,
		unread,
		prefix,
		notes: [...stored.notes, ...differences(config, vocabSize, entries)],
	};
}

/** What `config.json` says of the files and is not so; the files count. */
function differences(config: HuggingFaceConfig, vocabSize: number, entries: readonly NativeTensorEntry[]): string[] {
	const notes: string[] = [];
	const dtypes = [...new Set(entries.map(({ dtype }) => dtype))];
	if (config.dtype !== undefined && dtypes.some((dtype) => dtype !== config.dtype))
		notes.push(
			`config.json says ${config.dtype} but the weights are ${dtypes.join(' and ')}: they are read as they are`,
		);
	if (config.vocabSize !== vocabSize)
		notes.push(`config.json says vocab_size ${config.vocabSize} but the embedding has ${vocabSize} rows: all are read`);
	return notes;
}

/** Names and shapes of a decoder, in the order of the files. A tied head has no tensor of its own. */
export function tensorShapes({ shape }: Pick<HuggingFaceConfig, 'shape'>, vocabSize: number): Map<string, number[]> {
	const { hiddenSize, intermediateSize, headDim, numAttentionHeads, numKeyValueHeads } = shape;
	const query = numAttentionHeads * headDim;
	const keyValue = numKeyValueHeads * headDim;
	const shapes = new Map([[embeddingName, [vocabSize, hiddenSize]]]);
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
	if (!shape.tieWordEmbeddings) shapes.set(headName, [vocabSize, hiddenSize]);
	return shapes;
}

function fail(path: string, message: string): never {
	throw new CheckpointError(`[huggingface] ${path}: ${message}`);
}

/** Why a tensor of the decoder is passed over. @throws {CheckpointError} When there is no reason to. */
async function reasonNotRead(tensor: StoredTensor, embed: StoredTensor, config: HuggingFaceConfig): Promise<string> {
	if (tensor.name === headName && config.shape.tieWordEmbeddings) {
		await requireTiedHead(embed, tensor);
		return 'the head is tied to the embedding';
	}
	// Older files store RoPE's frequencies, which follow from rope_theta.
	if (tensor.name.endsWith('rotary_emb.inv_freq')) return 'follows from rope_theta';
	return fail(
		tensor.path,
		`tensor ${tensor.name} does not belong to a Qwen3 decoder of ${config.shape.numHiddenLayers} layers`,
	);
}
