import { type FileHandle, open } from 'node:fs/promises';
import { CheckpointError } from '../errors.js';
import type { NativeTensorEntry, StorageDtype } from '../native.js';

/** What the format calls them. */
const fileDtypes: Readonly<Record<StorageDtype, string>> = { float32: 'F32', float16: 'F16', bfloat16: 'BF16' };
const chunkBytes = 8 << 20;

/** Elements of which all bits of the exponent are set are infinite or not a number. */
const exponents: Readonly<Record<StorageDtype, number>> = { float32: 0x7f800000, float16: 0x7c00, bfloat16: 0x7f80 };

/** Place of the first element that is not finite; -1 without. */
function notFinite(bytes: Buffer, dtype: StorageDtype): number {
	const width = dtype === 'float32' ? 4 : 2;
	const length = bytes.length / width;
	// Little-endian on every machine that this package runs on.
	const numbers = width === 4 ? new Uint32Array(bytes.buffer, 0, length) : new Uint16Array(bytes.buffer, 0, length);
	const exponent = exponents[dtype];
	for (let i = 0; i < length; i++) if ((numbers[i]! & exponent) === exponent) return i;
	return -1;
}

/**
 * Writes tensors of other files into one safetensors file and fsyncs it: the same bytes, under the names given.
 *
 * @throws {CheckpointError} For a number that is not finite.
 */
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
		const buffer = Buffer.from(new ArrayBuffer(chunkBytes));
		for (const { name, dtype, path, begin, end } of entries) {
			const source = sources.get(path) ?? (await open(path, 'r'));
			sources.set(path, source);
			for (let at = begin; at < end; ) {
				const wanted = Math.min(buffer.length, end - at);
				let filled = 0;
				while (filled < wanted) {
					const { bytesRead } = await source.read(buffer, filled, wanted - filled, at + filled);
					if (bytesRead === 0) throw new CheckpointError(`[export] ${path}: ends inside tensor ${name}`);
					filled += bytesRead;
				}
				const chunk = buffer.subarray(0, wanted);
				const place = notFinite(chunk, dtype);
				if (place >= 0) {
					const element = (at - begin) / (dtype === 'float32' ? 4 : 2) + place;
					throw new CheckpointError(
						`[export] ${path}: tensor ${name} must hold finite numbers but holds an infinity or NaN at element ${element}; the weights are damaged, or were saved by a run that diverged`,
					);
				}
				await target.writeFile(chunk);
				at += wanted;
			}
		}
		await target.sync();
	} finally {
		await Promise.all([target, ...sources.values()].map((handle) => handle.close()));
	}
}
