import { open } from 'node:fs/promises';
import { deserialize, serialize } from 'node:v8';
import { OutputError } from '../errors.js';
import { faultOf } from './faults.js';
import { writeWholeFile } from './whole.js';

const lengthBytes = 8;

/**
 * Writes values that a structured clone takes (numbers, texts, typed arrays, lists and objects of them) one after another, as they
 * come: a file of this package's own, for the same version of it to read. Whole or not at all.
 *
 * @returns How many there were.
 * @throws {OutputError} And what making the values throws.
 */
export async function writeValues(path: string, values: AsyncIterable<unknown>): Promise<number> {
	return writeWholeFile(path, async (temporary) => {
		const file = await open(temporary, 'wx');
		try {
			let count = 0;
			for await (const value of values) {
				const bytes = serialize(value);
				const length = Buffer.alloc(lengthBytes);
				length.writeBigUInt64LE(BigInt(bytes.length));
				await file.writeFile(length);
				await file.writeFile(bytes);
				count++;
			}
			return count;
		} finally {
			await file.close();
		}
	});
}

/**
 * Reads them again, in their order.
 *
 * @throws {OutputError} For a file that is missing or damaged.
 */
export async function* readValues(path: string): AsyncGenerator<unknown, void, undefined> {
	try {
		await using file = await open(path, 'r');
		const { size } = await file.stat();
		const read = async (at: number, length: number) => {
			if (at + length > size) throw new Error('it ends early');
			const bytes = Buffer.alloc(length);
			for (let done = 0; done < length; ) {
				const { bytesRead } = await file.read(bytes, done, length - done, at + done);
				if (bytesRead === 0) throw new Error('it ends early');
				done += bytesRead;
			}
			return bytes;
		};
		for (let at = 0; at < size; ) {
			const length = Number((await read(at, lengthBytes)).readBigUInt64LE());
			yield deserialize(await read(at + lengthBytes, length));
			at += lengthBytes + length;
		}
	} catch (cause) {
		throw new OutputError(`[output] ${path} must hold results of a shard but found ${faultOf(cause)}`, { cause });
	}
}
