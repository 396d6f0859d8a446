import { join } from 'node:path';
import { readHuggingFaceConfig } from './huggingface-config.js';

/**
 * A warning for sequences longer than the positions a pretrained model was made for; undefined when there is nothing to say.
 * They can be computed, since RoPE has no table, but the model has never seen their ends.
 *
 * @param directory - HuggingFace folder; one that is gone says nothing, as does null: no folder.
 * @param tokens - Of the longest sequence.
 */
export async function beyondPositions(directory: string | null, tokens: number): Promise<string | undefined> {
	if (directory === null) return undefined;
	const config = await readHuggingFaceConfig(join(directory, 'config.json')).catch(() => undefined);
	const positions = config?.maxPositionEmbeddings;
	if (positions === undefined || tokens <= positions) return undefined;
	return `sequences of up to ${tokens} tokens are longer than the max_position_embeddings (${positions}) of ${directory}: what stands later is read at positions the model was not trained on`;
}
