import { type FileHandle, open } from 'node:fs/promises';
import { CheckpointError } from '../errors.js';
import type { NativeTensorEntry, StorageDtype } from '../native.js';

/** What the format calls them. */
const fileDtypes: Readonly<Record<StorageDtype, string>> = { float32: 'F32', float16: 'F16', bfloat16: 'BF16' };
const chunkBytes = 8 << 20;

/** Writes tensors of other files into one safetensors file and fsyncs it: the same bytes, under the names given. */
export async function copyTensors(entries: readonly NativeTensorEntry[], file: string): Promise<void> {
	const header: Record<string, unknown> = { __metadata__: { format: 'pt' } };
	let offset = 0;
	for (const { name, dtype, shape, begin, end } of entries) {
		header[name] = { dtype: fileDtypes[dtype], shape, data_offsets: [offset, offset + end - begin] };
		offset += end - begin;
	}
	const text = JSON.stringify(header);
	// Data that start on 64 bytes can be mapped and used in place.
	const padded = text + ' '.repeat((64 - ((Buffer.byteLength(text) + 8) % 64)) % 64);
	const length = Buffer.alloc(8);
	length.writeBigUInt64LE(BigInt(Buffer.byteLength(padded)));
	const sources = new Map<string, FileHandle>();
	const target = await open(file, 'w');
	try {
		await target.writeFile(Buffer.concat([length, Buffer.from(padded)]));
		const buffer = Buffer.alloc(Math.min(chunkBytes, Math.max(1, offset)));
		for (const { name, path, begin, end } of entries) {
			const source = sources.get(path) ?? (await open(path, 'r'));
			sources.set(path, source);
			for (let at = begin; at < end; ) {
				const { bytesRead } = await source.read(buffer, 0, Math.min(buffer.length, end - at), at);
				if (bytesRead === 0) throw new CheckpointError(`[export] ${path}: ends inside tensor ${name}`);
				await target.writeFile(buffer.subarray(0, bytesRead));
				at += bytesRead;
			}
		}
		await target.sync();
	} finally {
		await Promise.all([target, ...sources.values()].map((handle) => handle.close()));
	}
}
