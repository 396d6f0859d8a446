import { join } from 'node:path';
import { z } from 'zod';
import { writeJson } from './folder.js';

/** `5GB`, `200MB`, `1KB` (decimal, as transformers counts) or a number of bytes. */
export const ShardSize = z.union([
	z.int().positive(),
	z
		.string()
		.regex(/^\d+(\.\d+)?\s*[KMG]B$/i, 'must look like 5GB or 200MB')
		.transform((text) =>
			Math.floor(Number.parseFloat(text) * { K: 1e3, M: 1e6, G: 1e9 }[text.at(-2)!.toUpperCase() as 'K' | 'M' | 'G']),
		),
]);

/**
 * Writes `model.safetensors`, or shards with their index when it would exceed `maxBytes`.
 *
 * @param bytes - Of each tensor on disk, in file order.
 * @param write - Writes one file with the tensors named.
 */
export async function writeShards(
	folder: string,
	bytes: ReadonlyMap<string, number>,
	maxBytes: number,
	write: (file: string, names: readonly string[]) => Promise<void>,
): Promise<void> {
	const shards = planShards(bytes, maxBytes);
	const weightMap: Record<string, string> = {};
	for (const [index, names] of shards.entries()) {
		const file = shardName(index, shards.length);
		await write(join(folder, file), names);
		for (const name of names) weightMap[name] = file;
	}
	if (shards.length > 1) {
		await writeJson(folder, 'model.safetensors.index.json', {
			metadata: { total_size: [...bytes.values()].reduce((sum, size) => sum + size, 0) },
			weight_map: weightMap,
		});
	}
}

/** Tensors in file order, cut where the next one would exceed the limit; a tensor beyond the limit has its own file. @internal */
export function planShards(bytes: ReadonlyMap<string, number>, maxBytes: number): string[][] {
	const shards: string[][] = [];
	let room = 0;
	for (const [name, size] of bytes) {
		const open = shards.at(-1);
		if (open === undefined || size > room) {
			shards.push([name]);
			room = maxBytes - size;
		} else {
			open.push(name);
			room -= size;
		}
	}
	return shards;
}

function shardName(index: number, count: number): string {
	if (count === 1) return 'model.safetensors';
	const number = (value: number) => String(value).padStart(5, '0');
	return `model-${number(index + 1)}-of-${number(count)}.safetensors`;
}
