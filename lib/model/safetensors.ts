import type { FileHandle } from 'node:fs/promises';
import { open } from 'node:fs/promises';
import { z } from 'zod';
import { CheckpointError } from '../errors.js';
import { parseJson } from '../files/json.js';
import type { NativeTensorEntry } from '../native.js';

const Header = z.record(
	z.string(),
	z.strictObject({
		dtype: z.string(),
		shape: z.array(z.int().nonnegative()),
		data_offsets: z.tuple([z.int().nonnegative(), z.int().nonnegative()]),
	}),
);
const Metadata = z.record(z.string(), z.string());
const bytesPerElement: Readonly<Record<string, number>> = { F32: 4, F16: 2, BF16: 2 };
/** The limit of the reference implementation. */
const largestHeader = 100_000_000;

export interface SafetensorsFile {
	readonly metadata: Readonly<Record<string, string>>;
	readonly entries: readonly NativeTensorEntry[];
}

/**
 * Reads and checks the header of a safetensors file; untrusted input.
 *
 * @throws {CheckpointError} Names the file, the tensor and the rule: header too long, not JSON, unknown dtype, offsets
 * that overlap, leave holes, or do not fit the shape or the file.
 * @see https://github.com/huggingface/safetensors "Format"
 */
export async function readSafetensorsHeader(path: string): Promise<SafetensorsFile> {
	const fail = (message: string, cause?: unknown): never => {
		throw new CheckpointError(`[safetensors] ${path}: ${message}`, { cause });
	};
	let file: FileHandle;
	try {
		file = await open(path, 'r');
	} catch (cause) {
		return fail(`cannot be read (${(cause as NodeJS.ErrnoException).code ?? (cause as Error).message})`, cause);
	}
	try {
		const { size } = await file.stat();
		const lengthBytes = Buffer.alloc(8);
		const { bytesRead } = await file.read(lengthBytes, 0, 8, 0);
		if (bytesRead < 8) fail(`must begin with an 8-byte header length but has ${size} bytes`);
		const headerLength = Number(lengthBytes.readBigUInt64LE());
		if (headerLength > largestHeader || 8 + headerLength > size) {
			fail(`header length must fit the file of ${size} bytes but is ${headerLength}; the file may be truncated`);
		}
		const headerBytes = Buffer.alloc(headerLength);
		if ((await file.read(headerBytes, 0, headerLength, 8)).bytesRead < headerLength) {
			fail(`must hold a header of ${headerLength} bytes but ends inside it`);
		}
		let json: unknown;
		try {
			const text = new TextDecoder('utf-8', { fatal: true }).decode(headerBytes);
			json = parseJson(text);
			// It keeps the last of two equal keys without a word.
			const twice = repeatedKey(text);
			if (twice !== undefined) return fail(`header must name every key once but names "${twice}" twice`);
		} catch (cause) {
			if (cause instanceof CheckpointError) throw cause;
			return fail(`header must be JSON in UTF-8: ${(cause as Error).message}`, cause);
		}
		if (typeof json !== 'object' || json === null || Array.isArray(json)) {
			return fail('header must be a JSON object of tensors');
		}
		const { __metadata__: rawMetadata, ...rest } = json as Record<string, unknown>;
		const metadata = Metadata.safeParse(rawMetadata ?? {});
		const header = Header.safeParse(rest);
		if (!metadata.success) return fail('header __metadata__ must map text to text');
		if (!header.success) {
			const issue = header.error.issues[0];
			return fail(`header entry ${issue?.path.join('.')}: ${issue?.message}`);
		}
		const dataStart = 8 + headerLength;
		const entries: NativeTensorEntry[] = [];
		for (const [name, { dtype, shape, data_offsets }] of Object.entries(header.data)) {
			const width = bytesPerElement[dtype];
			if (width === undefined) return fail(`tensor ${name} must be F32, F16 or BF16 but is ${dtype}`);
			const bytes = shape.reduce((product, length) => product * length, width);
			if (!Number.isSafeInteger(bytes)) {
				return fail(`tensor ${name} of shape [${shape.join(', ')}] must span at most 2^53 bytes`);
			}
			const [begin, end] = data_offsets;
			if (end - begin !== bytes) {
				fail(`tensor ${name} of shape [${shape.join(', ')}] must span ${bytes} bytes but spans ${end - begin}`);
			}
			entries.push({
				name,
				path,
				dtype: dtype as NativeTensorEntry['dtype'],
				shape,
				begin: dataStart + begin,
				end: dataStart + end,
			});
		}
		entries.sort((a, b) => a.begin - b.begin || a.end - b.end);
		let expected = dataStart;
		for (const entry of entries) {
			if (entry.begin !== expected) {
				fail(`tensor ${entry.name} must begin at byte ${expected} (no holes, no overlap) but begins at ${entry.begin}`);
			}
			expected = entry.end;
		}
		if (expected !== size) fail(`must end at byte ${expected} but has ${size} bytes; the file may be truncated`);
		return { metadata: metadata.data, entries };
	} finally {
		await file.close();
	}
}

/** A key that an object of valid JSON text names twice, at any depth. */
function repeatedKey(text: string): string | undefined {
	const seen: Set<string>[] = [];
	const token = /"(?:[^"\\]|\\.)*"|[{}]/gs;
	for (let match = token.exec(text); match !== null; match = token.exec(text)) {
		const [found] = match;
		if (found === '{') seen.push(new Set());
		else if (found === '}') seen.pop();
		else if (/^\s*:/.test(text.slice(token.lastIndex, token.lastIndex + 16))) {
			const key = parseJson(found) as string;
			if (seen.at(-1)?.has(key)) return key;
			seen.at(-1)?.add(key);
		}
	}
	return undefined;
}
