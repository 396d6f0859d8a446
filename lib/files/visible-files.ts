import type { Dirent } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join, relative, resolve, sep } from 'node:path';
import { DataError } from '../errors.js';

/** Files below a folder, and what was passed over. */
export interface FolderFiles {
	/** Relative to the folder, with `/`, sorted. */
	readonly files: readonly string[];
	/** Files that would be among them but are hidden, or lie in a hidden folder. */
	readonly hidden: readonly string[];
}

/**
 * Hidden, as pyarrow and Spark have it: what begins with a dot or an underscore. Jupyter and macOS leave copies of data
 * under such names (`.ipynb_checkpoints/`, `._0.parquet`), Spark what is not finished.
 */
export function isHidden(name: string): boolean {
	return /^[._]/.test(name);
}

/**
 * Lists the files below a folder whose name ends as asked; the folder's own name may be anything.
 *
 * @throws The error of the file system when the folder cannot be read.
 */
export async function visibleFiles(folder: string, ending: RegExp): Promise<FolderFiles> {
	const found = { files: [] as string[], hidden: [] as string[] };
	const walk = async (directory: string, inHidden: boolean, entries: readonly Dirent[]): Promise<void> => {
		for (const entry of entries) {
			const path = join(directory, entry.name);
			const hidden = inHidden || isHidden(entry.name);
			// A folder may be called part.parquet too: other writers put shards into one.
			if (entry.isDirectory()) {
				const inner = readdir(path, { withFileTypes: true });
				await walk(path, hidden, await (hidden ? inner.catch(() => []) : inner));
			} else if (ending.test(entry.name)) {
				found[hidden ? 'hidden' : 'files'].push(relative(folder, path).split(sep).join('/'));
			}
		}
	};
	await walk(folder, false, await readdir(folder, { withFileTypes: true }));
	return { files: found.files.sort(), hidden: found.hidden.sort() };
}

/**
 * The parquet files below a folder, absolute, without hidden ones.
 *
 * @throws {DataError} When there is no such folder or no such file.
 */
export async function parquetPaths(scope: string, folder: string): Promise<string[]> {
	const { files } = await visibleFiles(folder, /\.parquet$/).catch((cause: NodeJS.ErrnoException) => {
		throw new DataError(scope, { file: folder, rule: 'must be a folder', value: cause.code ?? 'none' }, { cause });
	});
	if (files.length === 0) {
		throw new DataError(scope, { file: folder, rule: 'must hold at least one .parquet file', value: 'none' });
	}
	return files.map((file) => join(resolve(folder), file));
}

/** A note on what was passed over; undefined where there is nothing to say. */
export function hiddenNote(hidden: readonly string[]): string | undefined {
	if (hidden.length === 0) return undefined;
	return `${hidden.length} hidden ${hidden.length === 1 ? 'file is' : 'files are'} not read (names or folders that begin with . or _; first ${hidden[0]})`;
}
