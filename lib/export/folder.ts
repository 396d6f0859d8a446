import { open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { writeWhole } from '../files/whole.js';
import { readSafetensorsHeader } from '../model/safetensors.js';

export interface ExportSummary {
	readonly directory: string;
	readonly files: readonly { readonly name: string; readonly bytes: number }[];
	/** Of the model or of the adapter. */
	readonly tensors: number;
	readonly bytes: number;
	/** What was there to be exported and is not, for people. */
	readonly notes: readonly string[];
}

export function writeJson(folder: string, name: string, value: unknown): Promise<void> {
	return writeWhole(join(folder, name), `${JSON.stringify(value, undefined, 2)}\n`);
}

/**
 * What a folder that is about to be renamed holds.
 *
 * @param directory - The name it will have.
 */
export async function summaryOf(directory: string, folder: string, notes: readonly string[]): Promise<ExportSummary> {
	const files = await Promise.all(
		(await readdir(folder)).sort().map(async (name) => ({ name, bytes: (await stat(join(folder, name))).size })),
	);
	let tensors = 0;
	let bytes = 0;
	for (const { name } of files.filter(({ name }) => /^(adapter_)?model(-.*)?\.safetensors$/.test(name))) {
		for (const { begin, end } of (await readSafetensorsHeader(join(folder, name))).entries) {
			tensors++;
			bytes += end - begin;
		}
	}
	return { directory, files, tensors, bytes, notes };
}

export async function syncAll(folder: string): Promise<void> {
	for (const name of [...(await readdir(folder)), '.']) {
		const handle = await open(join(folder, name), 'r');
		try {
			await handle.sync();
		} finally {
			await handle.close();
		}
	}
}
