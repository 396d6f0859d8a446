import { open } from 'node:fs/promises';
import { readSafetensorsHeader } from '../../lib/model/safetensors.js';

/** Every tensor of a float32 safetensors file, flat. */
export async function readFloatTensors(path: string): Promise<Map<string, Float32Array>> {
	const { entries } = await readSafetensorsHeader(path);
	const file = await open(path, 'r');
	try {
		const tensors = new Map<string, Float32Array>();
		for (const { name, dtype, begin, end } of entries) {
			if (dtype !== 'float32') throw new Error(`${path}: tensor ${name} must be F32 but is ${dtype}`);
			const bytes = Buffer.alloc(end - begin);
			await file.read(bytes, 0, bytes.length, begin);
			tensors.set(name, new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4));
		}
		return tensors;
	} finally {
		await file.close();
	}
}
