import type { FileHandle } from 'node:fs/promises';
import { open } from 'node:fs/promises';
import { z } from 'zod';
import { ruleOf } from '../config.js';
import { CheckpointError } from '../errors.js';
import { faultOf } from '../files/faults.js';
import { parseJson, repeatedKey } from '../files/json.js';
import { isObject, kindOf } from '../found.js';
import type { NativeTensorEntry, StorageDtype } from '../native.js';

const Header = z.record(
	z.string(),
	z.strictObject({
		dtype: z.string(),
		shape: z.array(z.int().nonnegative()),
		data_offsets: z.tuple([z.int().nonnegative(), z.int().nonnegative()]),
	}),
);
const Metadata = z.record(z.string(), z.string());
/** Every dtype of the format; the decoder's own tensors are of the first three. */
const bitsPerElement: Readonly<Record<string, number>> = {
	...{ F32: 32, F16: 16, BF16: 16 },
	...{ F64: 64, I64: 64, U64: 64, C64: 64, I32: 32, U32: 32, I16: 16, U16: 16, I8: 8, U8: 8, BOOL: 8 },
	...{ F8_E4M3: 8, F8_E5M2: 8, F8_E8M0: 8, F8_E4M3FNUZ: 8, F8_E5M2FNUZ: 8, F6_E2M3: 6, F6_E3M2: 6, F4: 4 },
};
/** The limit of the reference implementation. */
const largestHeader = 100_000_000;

/** A tensor of any dtype that the format knows. */
export interface StoredTensor extends Omit<NativeTensorEntry, 'dtype'> {
	readonly dtype: string;
}

export interface SafetensorsFile<Tensor extends StoredTensor = NativeTensorEntry> {
	readonly metadata: Readonly<Record<string, string>>;
	/** In the order of their bytes. */
	readonly entries: readonly Tensor[];
}

/**
 * Reads and checks the header of a file that holds weights alone: F32, F16 or BF16.
 *
 * @throws {CheckpointError} As {@link readStoredTensors}, and for a tensor of another dtype.
 */
export async function readSafetensorsHeader(path: string): Promise<SafetensorsFile> {
	const { metadata, entries } = await readStoredTensors(path);
	return { metadata, entries: entries.map(asWeight) };
}

/** The format's names of the dtypes that weights may have. */
const weightDtypes = new Map<string, StorageDtype>([
	['F32', 'float32'],
	['F16', 'float16'],
	['BF16', 'bfloat16'],
]);

/** The tensor as one that can be loaded. @throws {CheckpointError} When it is not F32, F16 or BF16. */
export function asWeight(tensor: StoredTensor): NativeTensorEntry {
	const dtype = weightDtypes.get(tensor.dtype);
	if (dtype !== undefined) return { ...tensor, dtype };
	throw new CheckpointError(
		`[safetensors] ${tensor.path}: tensor ${tensor.name} must be F32, F16 or BF16 but is ${tensor.dtype}`,
	);
}

/**
 * Reads and checks the header of a safetensors file; untrusted input.
 *
 * @throws {CheckpointError} Names the file, the tensor and the rule: header too long, not JSON, unknown dtype, offsets
 * that overlap, leave holes, or do not fit the shape or the file.
 * @see https://github.com/huggingface/safetensors "Format"
 */
export async function readStoredTensors(path: string): Promise<SafetensorsFile<StoredTensor>> {
	const fail: Fail = (message, cause) => {
		throw new CheckpointError(`[safetensors] ${path}: ${message}`, { cause });
	};
	const { bytes, size } = await readHeaderBytes(path, fail);
	const { metadata, tensors } = parseHeader(bytes, fail);
	const dataStart = 8 + bytes.length;
	const entries = Object.entries(tensors).map(
		([
			name,
			{
				dtype,
				shape,
				data_offsets: [begin, end],
			},
		]) => {
			const expected = bytesOf(name, dtype, shape, fail);
			if (end - begin !== expected) {
				fail(`tensor ${name} of shape [${shape.join(', ')}] must span ${expected} bytes but spans ${end - begin}`);
			}
			return { name, path, dtype, shape, begin: dataStart + begin, end: dataStart + end };
		},
	);
	entries.sort((a, b) => a.begin - b.begin || a.end - b.end);
	let next = dataStart;
	for (const { name, begin, end } of entries) {
		if (begin !== next) fail(`tensor ${name} must begin at byte ${next} (no holes, no overlap) but begins at ${begin}`);
		next = end;
	}
	if (next !== size) fail(`must end at byte ${next} but has ${size} bytes; the file may be truncated`);
	return { metadata, entries };
}

type Fail = (message: string, cause?: unknown) => never;

async function readHeaderBytes(path: string, fail: Fail): Promise<{ readonly bytes: Buffer; readonly size: number }> {
	let file: FileHandle;
	try {
		file = await open(path, 'r');
	} catch (cause) {
		return fail(`cannot be read (${faultOf(cause)})`, cause);
	}
	try {
		const { size } = await file.stat();
		const lengthBytes = Buffer.alloc(8);
		const { bytesRead } = await file.read(lengthBytes, 0, 8, 0);
		if (bytesRead < 8) fail(`must begin with an 8-byte header length but has ${size} bytes`);
		const length = Number(lengthBytes.readBigUInt64LE());
		if (length > largestHeader || 8 + length > size) {
			fail(`header length must fit the file of ${size} bytes but is ${length}; the file may be truncated`);
		}
		const bytes = Buffer.alloc(length);
		if ((await file.read(bytes, 0, length, 8)).bytesRead < length) {
			fail(`must hold a header of ${length} bytes but ends inside it`);
		}
		return { bytes, size };
	} finally {
		await file.close();
	}
}

function parseHeader(bytes: Buffer, fail: Fail) {
	let text: string;
	let json: unknown;
	try {
		text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
		json = parseJson(text);
	} catch (cause) {
		return fail(`header must be JSON in UTF-8: ${(cause as Error).message}`, cause);
	}
	const twice = repeatedKey(text);
	if (twice !== undefined) return fail(`header must name every key once but names "${twice}" twice`);
	if (!isObject(json)) return fail(`header must be an object of tensors but is ${kindOf(json)}`);
	const { __metadata__: rawMetadata, ...rest } = json;
	const metadata = Metadata.safeParse(rawMetadata ?? {});
	const header = Header.safeParse(rest);
	if (!metadata.success) return fail('header __metadata__ must map text to text');
	if (!header.success) {
		const issue = header.error.issues[0]!;
		return fail(`header entry ${issue.path.join('.')} ${ruleOf(issue)}`);
	}
	return { metadata: metadata.data, tensors: header.data };
}

/** Bytes that a tensor must have by its dtype and shape. */
function bytesOf(name: string, dtype: string, shape: readonly number[], fail: Fail): number {
	const width = Object.hasOwn(bitsPerElement, dtype) ? bitsPerElement[dtype] : undefined;
	if (width === undefined) return fail(`tensor ${name} must be of a dtype of the format but is ${dtype}`);
	const bits = shape.reduce((product, length) => product * length, width);
	if (!Number.isSafeInteger(bits) || bits % 8 !== 0) {
		return fail(`tensor ${name} of shape [${shape.join(', ')}] must span whole bytes, fewer than 2^50`);
	}
	return bits / 8;
}
