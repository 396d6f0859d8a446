import { isUtf8 } from 'node:buffer';
import { createReadStream } from 'node:fs';
import { createGunzip } from 'node:zlib';
import { DataError } from '../../errors.js';

/** How the text of a file is encoded, each file by itself. */
export type TextEncoding = 'utf-8' | 'latin-1' | 'utf-16le' | 'utf-16be';

/** Bytes of a file, unpacked where its name ends in .gz. */
async function* fileBytes(path: string, name: string): AsyncGenerator<Buffer> {
	const raw = createReadStream(path, { highWaterMark: 1 << 20 });
	const stream = /\.gz$/i.test(path) ? raw.pipe(createGunzip()) : raw;
	// pipe() does not pass errors on.
	raw.on('error', (error) => stream.destroy(error));
	try {
		for await (const chunk of stream) yield chunk as Buffer;
	} catch (cause) {
		const { code } = cause as NodeJS.ErrnoException;
		throw new DataError('omop', { file: name, rule: 'must be readable', value: code ?? 'an error' }, { cause });
	} finally {
		stream.destroy();
		raw.destroy();
	}
}

/**
 * Finds out how a file is encoded: UTF-16 by its byte order mark or by zero bytes in every other place of its beginning,
 * UTF-8 when all of it is, else what was given.
 *
 * @throws {DataError} Names the line when the file is not UTF-8 and nothing else was given.
 */
export async function encodingOf(path: string, name: string, given: 'utf-8' | 'latin-1'): Promise<TextEncoding> {
	let first = true;
	let line = 1;
	let rest: Buffer = Buffer.alloc(0);
	for await (const chunk of fileBytes(path, name)) {
		if (first) {
			const wide = wideEncoding(chunk);
			if (wide !== undefined) return wide;
			first = false;
		}
		// A character may lie across two chunks, but a line feed is no part of one.
		const end = chunk.lastIndexOf(0x0a) + 1;
		const whole = end === 0 ? undefined : Buffer.concat([rest, chunk.subarray(0, end)]);
		if (whole !== undefined && !isUtf8(whole)) return notUtf8(name, given, line + badLine(whole));
		if (whole !== undefined) line += newlines(whole);
		rest = whole === undefined ? Buffer.concat([rest, chunk]) : Buffer.from(chunk.subarray(end));
	}
	return isUtf8(rest) ? 'utf-8' : notUtf8(name, given, line);
}

function wideEncoding(start: Buffer): TextEncoding | undefined {
	if (start[0] === 0xff && start[1] === 0xfe) return 'utf-16le';
	if (start[0] === 0xfe && start[1] === 0xff) return 'utf-16be';
	const pairs = start.subarray(0, 512);
	if (pairs.length < 4) return undefined;
	const zeros = [0, 0];
	for (const [i, byte] of pairs.entries()) if (byte === 0) zeros[i % 2]!++;
	const half = pairs.length / 2;
	if (zeros[1]! > 0.9 * half && zeros[0] === 0) return 'utf-16le';
	return zeros[0]! > 0.9 * half && zeros[1] === 0 ? 'utf-16be' : undefined;
}

function notUtf8(name: string, given: 'utf-8' | 'latin-1', line: number): TextEncoding {
	if (given === 'latin-1') return 'latin-1';
	throw new DataError('omop', {
		file: name,
		rule: 'must be UTF-8',
		value: `other bytes at line ${line}`,
		fix: 'give the encoding latin-1, or convert the file with iconv',
	});
}

function newlines(bytes: Buffer): number {
	let count = 0;
	for (let at = bytes.indexOf(0x0a); at >= 0; at = bytes.indexOf(0x0a, at + 1)) count++;
	return count;
}

/** Lines before the first that is not UTF-8. */
function badLine(bytes: Buffer): number {
	let count = 0;
	for (let from = 0; from < bytes.length; count++) {
		const end = bytes.indexOf(0x0a, from) + 1 || bytes.length;
		if (!isUtf8(bytes.subarray(from, end))) return count;
		from = end;
	}
	return count;
}

/** Text of a file in UTF-8, without a byte order mark. */
export async function* utf8Bytes(path: string, name: string, encoding: TextEncoding): AsyncGenerator<Buffer> {
	if (encoding !== 'utf-8') {
		// TextDecoder's latin1 is windows-1252, which has other signs between 0x80 and 0x9f.
		const decoder = encoding === 'latin-1' ? undefined : new TextDecoder(encoding);
		for await (const chunk of fileBytes(path, name))
			yield Buffer.from(decoder === undefined ? chunk.toString('latin1') : decoder.decode(chunk, { stream: true }));
		const last = decoder?.decode() ?? '';
		if (last !== '') yield Buffer.from(last);
		return;
	}
	let first = true;
	for await (const chunk of fileBytes(path, name)) {
		const marked = first && chunk[0] === 0xef && chunk[1] === 0xbb && chunk[2] === 0xbf;
		first = false;
		yield marked ? chunk.subarray(3) : chunk;
	}
}
