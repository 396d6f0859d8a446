import { type FileHandle, open } from 'node:fs/promises';
import { CheckpointError } from '../errors.js';
import type { StoredTensor } from './safetensors.js';

const chunkBytes = 4 << 20;

/**
 * A head that is stored although it is tied must be the embedding, byte for byte. `transformers` 5 uses another one as it
 * is, 4 overwrites it with the embedding: neither is plainly what the folder says.
 *
 * @throws {CheckpointError} Names both tensors and the first row that differs.
 */
export async function requireTiedHead(embedding: StoredTensor, head: StoredTensor): Promise<void> {
	const differ = (how: string): never => {
		throw new CheckpointError(
			`[huggingface] ${head.path}: tensor ${head.name} must be equal to ${embedding.name}, since config.json says tie_word_embeddings true, but ${how}; set tie_word_embeddings to false to use the stored head, or remove it from the file to use the embedding`,
		);
	};
	const shape = (tensor: StoredTensor) => `${tensor.dtype} [${tensor.shape.join(', ')}]`;
	if (shape(head) !== shape(embedding)) differ(`is ${shape(head)} beside ${shape(embedding)}`);
	const files = await Promise.all([embedding.path, head.path].map((path) => open(path, 'r')));
	try {
		const bytes = head.end - head.begin;
		const [ours, theirs] = [Buffer.alloc(Math.min(chunkBytes, bytes)), Buffer.alloc(Math.min(chunkBytes, bytes))];
		for (let done = 0; done < bytes; done += chunkBytes) {
			const length = Math.min(chunkBytes, bytes - done);
			await Promise.all([
				read(files[0]!, embedding.path, ours, length, embedding.begin + done),
				read(files[1]!, head.path, theirs, length, head.begin + done),
			]);
			if (ours.compare(theirs, 0, length, 0, length) === 0) continue;
			let at = 0;
			while (ours[at] === theirs[at]) at++;
			differ(`differs from it in row ${Math.floor((done + at) / (bytes / head.shape[0]!))}`);
		}
	} finally {
		await Promise.all(files.map((file) => file.close()));
	}
}

async function read(file: FileHandle, path: string, into: Buffer, length: number, position: number): Promise<void> {
	for (let done = 0; done < length; ) {
		const { bytesRead } = await file.read(into, done, length - done, position + done);
		if (bytesRead === 0)
			throw new CheckpointError(
				`[huggingface] ${path} must stay as it is while it is read but became shorter; try again when it is whole`,
			);
		done += bytesRead;
	}
}
