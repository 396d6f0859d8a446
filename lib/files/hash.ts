import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';

/** Sha256 of text (UTF-8) or bytes, in hexadecimal. */
export function sha256(content: string | Uint8Array): string {
	return createHash('sha256').update(content).digest('hex');
}

/** Sha256 of a file, in hexadecimal; read in pieces. */
export async function sha256OfFile(path: string): Promise<string> {
	return sha256OfFiles([path]);
}

/** Sha256 of files one after another, in hexadecimal; read in pieces. */
export async function sha256OfFiles(paths: readonly string[]): Promise<string> {
	const hash = createHash('sha256');
	// One buffer for all pieces: those of a stream stay in memory until they are collected, tens of megabytes of a large file.
	const buffer = Buffer.allocUnsafe(1 << 20);
	for (const path of paths) {
		const file = await open(path);
		try {
			for (;;) {
				const { bytesRead } = await file.read(buffer, 0, buffer.length, null);
				if (bytesRead === 0) break;
				hash.update(buffer.subarray(0, bytesRead));
			}
		} finally {
			await file.close();
		}
	}
	return hash.digest('hex');
}
