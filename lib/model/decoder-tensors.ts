import { CheckpointError } from '../errors.js';
import type { StoredTensor } from './safetensors.js';

/** Names that every decoder has, as `Qwen3ForCausalLM` spells them. */
export const embeddingName = 'model.embed_tokens.weight';
export const headName = 'lm_head.weight';

/** The decoder's tensors under the names of `Qwen3ForCausalLM`, and those of what stands around it. */
export interface DecoderTensors {
	readonly own: readonly StoredTensor[];
	/** Names in the file. */
	readonly others: readonly string[];
	/** What stands before `embed_tokens` in the file: `model.`, nothing in a bare `Qwen3Model`, or a wrapper's. */
	readonly prefix: string;
}

const embedding = 'embed_tokens.weight';

/**
 * Finds the decoder by its embedding: plain (`model.embed_tokens.weight`), bare (`embed_tokens.weight`, as `Qwen3Model` is
 * saved) or inside a wrapper (`language_model.model.`, `model.language_model.`).
 *
 * @param isDecoderName - Whether a name is one of `Qwen3ForCausalLM`.
 * @throws {CheckpointError} When two tensors could be meant.
 */
export function decoderTensors(
	directory: string,
	stored: readonly StoredTensor[],
	isDecoderName: (name: string) => boolean,
): DecoderTensors {
	const fail = (message: string): never => {
		throw new CheckpointError(`[huggingface] ${directory}: ${message}`);
	};
	const embeddings = stored.filter(({ name }) => name === embedding || name.endsWith(`.${embedding}`));
	if (embeddings.length !== 1) {
		const found = embeddings.map(({ name }) => name).join(' and ');
		return fail(
			`must hold one tensor ${embeddingName}, plain or behind a prefix, but holds ${embeddings.length}${found === '' ? '' : ` (${found})`}`,
		);
	}
	const prefix = embeddings[0]!.name.slice(0, -embedding.length);
	// The head stands beside the module that holds the layers, or, in some wrappers, outside of everything.
	const beside = prefix.replace(/[^.]+\.$/, '');
	const heads = new Set([headName, `${beside}${headName}`, `${prefix}${headName}`]);
	const stem = (name: string) => /^(embed_tokens|layers|norm)\./.test(name);
	const own: StoredTensor[] = [];
	const others: string[] = [];
	for (const tensor of stored) {
		const { name } = tensor;
		const rest = name.slice(prefix.length);
		if (heads.has(name)) own.push({ ...tensor, name: headName });
		else if (name.startsWith(prefix) && (prefix !== '' || stem(rest))) own.push({ ...tensor, name: `model.${rest}` });
		else if (isDecoderName(name) || isDecoderName(`model.${name}`)) {
			fail(`tensor ${name} must stand behind "${prefix}", as the embedding does, or not be there`);
		} else others.push(name);
	}
	const storedHeads = stored.filter(({ name }) => heads.has(name));
	if (storedHeads.length > 1) {
		fail(`must hold one head but holds ${storedHeads.map(({ name }) => name).join(' and ')}`);
	}
	return { own, others, prefix };
}
