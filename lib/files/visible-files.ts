import type { Dirent } from 'node:fs';
import { readdir, realpath, stat } from 'node:fs/promises';
import { join, relative, resolve, sep } from 'node:path';
import { DataError } from '../errors.js';
import { faultOf } from './faults.js';

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
 * Lists the files below a folder whose name ends as asked; the folder's own name may be anything. Links are followed.
 *
 * @throws The error of the file system when the folder cannot be read. {DataError} For a link that leads in a circle.
 */
export async function visibleFiles(folder: string, ending: RegExp): Promise<FolderFiles> {
	const found = { files: [] as string[], hidden: [] as string[] };
	const walk = async (directory: string, inHidden: boolean, around: readonly string[]): Promise<void> => {
		const list = readdir(directory, { withFileTypes: true });
		for (const entry of await (inHidden ? list.catch(() => []) : list)) {
			const path = join(directory, entry.name);
			const hidden = inHidden || isHidden(entry.name);
			// A folder may be called part.parquet too: other writers put shards into one.
			const target = await folderOf(path, entry, around.at(-1)!);
			if (target !== undefined) {
				if (!around.some((place) => isWithin(place, target))) await walk(path, hidden, [...around, target]);
				else if (!hidden) throw leadsBack(path, target);
			} else if (ending.test(entry.name)) {
				found[hidden ? 'hidden' : 'files'].push(relative(folder, path).split(sep).join('/'));
			}
		}
	};
	await walk(folder, false, [await realpath(folder)]);
	return { files: found.files.sort(), hidden: found.hidden.sort() };
}

/** The real path of an entry that is a folder or a link to one. @param parent - Real path of the folder that it lies in. */
async function folderOf(path: string, entry: Dirent, parent: string): Promise<string | undefined> {
	if (entry.isDirectory()) return join(parent, entry.name);
	if (!entry.isSymbolicLink()) return undefined;
	// A link to nowhere is a file that cannot be read.
	const found = await stat(path).catch(() => undefined);
	return found?.isDirectory() === true ? realpath(path) : undefined;
}

function isWithin(place: string, folder: string): boolean {
	const way = relative(folder, place);
	return way !== '..' && !way.startsWith(`..${sep}`);
}

function leadsBack(file: string, value: string): DataError {
	const rule = 'must not be a link to a folder that it lies in';
	return new DataError('files', { file, rule, value, fix: 'remove the link' });
}

/**
 * The parquet files below a folder, absolute, without hidden ones.
 *
 * @param passedOver - Receives those.
 * @throws {DataError} When there is no such folder or no such file.
 */
export async function parquetPaths(scope: string, folder: string, passedOver: string[] = []): Promise<string[]> {
	const { files, hidden } = await visibleFiles(folder, /\.parquet$/).catch((cause: NodeJS.ErrnoException) => {
		if (cause instanceof DataError) throw cause;
		throw new DataError(
			scope,
			{ file: folder, rule: 'must be a folder', value: faultOf(cause), fix: 'check the path' },
			{ cause },
		);
	});
	passedOver.push(...hidden.map((file) => join(folder, file)));
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
