import { dirname, join, normalize } from 'node:path';
import { z } from 'zod';
import { CheckpointError } from '../errors.js';
import { exists } from '../files/exists.js';
import { readJson } from '../files/json.js';
import { shown } from '../found.js';
import { readStoredTensors, type StoredTensor } from './safetensors.js';

/** What a folder's weight files hold, under the names in the files. */
export interface StoredTensors {
	readonly tensors: readonly StoredTensor[];
	/** What was passed over, for people. */
	readonly notes: readonly string[];
}

const singleName = 'model.safetensors';
const indexName = 'model.safetensors.index.json';
const Index = z.looseObject({ weight_map: z.record(z.string(), z.string()) });

/**
 * Tensors of `model.safetensors`, or of the shards that an index names. With both, `transformers` reads the single file
 * and never looks at the index: so do we, and say so.
 *
 * @throws {CheckpointError} Names the file, the tensor and the rule.
 */
export async function storedTensors(directory: string): Promise<StoredTensors> {
	const single = join(directory, singleName);
	const index = join(directory, indexName);
	const hasIndex = await exists(index);
	if (await exists(single)) {
		const { entries } = await readStoredTensors(single);
		return { tensors: entries, notes: hasIndex ? [`${indexName} is not read: ${singleName} is there`] : [] };
	}
	if (!hasIndex) {
		throw new CheckpointError(`[huggingface] ${directory}: must hold ${singleName} or ${indexName} but holds neither`);
	}
	return { tensors: await shardedTensors(index), notes: [] };
}

async function shardedTensors(indexFile: string): Promise<StoredTensor[]> {
	const fail = (path: string, message: string): never => {
		throw new CheckpointError(`[huggingface] ${path}: ${message}`);
	};
	const json = await readJson(indexFile, { scope: 'huggingface', error: CheckpointError });
	const index = Index.safeParse(json);
	if (!index.success) return fail(indexFile, 'weight_map must map tensor names to file names');
	const map = new Map(Object.entries(index.data.weight_map));
	const tensors: StoredTensor[] = [];
	for (const shard of [...new Set(map.values())].sort()) {
		// The index is untrusted: a shard lies beside it.
		if (normalize(shard) !== shard || shard.includes('/') || shard.includes('\\') || shard === '..') {
			fail(indexFile, `weight_map must name files in its own folder but names ${shown(shard)}`);
		}
		for (const tensor of (await readStoredTensors(join(dirname(indexFile), shard))).entries) {
			if (map.get(tensor.name) !== shard) {
				fail(
					tensor.path,
					`tensor ${tensor.name} must be listed for this file in the index but is listed for ${map.get(tensor.name) ?? 'none'}`,
				);
			}
			tensors.push(tensor);
		}
	}
	const found = new Set(tensors.map(({ name }) => name));
	for (const [name, shard] of map) {
		if (!found.has(name)) fail(indexFile, `tensor ${name} must be in ${shard} but is not`);
	}
	return tensors;
}
