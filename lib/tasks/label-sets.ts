import { basename, dirname, join, resolve } from 'node:path';
import { folderSplits } from '../data/splits.js';
import { DataError } from '../errors.js';
import { faultOf } from '../files/faults.js';
import { type FolderFiles, visibleFiles } from '../files/visible-files.js';

/** A ready set of labels: all files of one task. */
export interface LabelSet {
	/** Folders below the root, joined by `/`: MEDS lets the name of a task hold one. */
	readonly name: string;
	/** Absolute, sorted. */
	readonly files: readonly string[];
}

/**
 * Finds the label sets below a folder (MEDS: `<root>/<task>/**.parquet`). A task's files may lie in the shards of the data
 * or in folders of the splits; every other folder with files is a task of its own.
 *
 * @param root - Of several sets, or the folder of one.
 * @param shards - Files of the data set relative to its data folder: `train/0.parquet`.
 * @returns The sets, and the hidden files that are in none.
 * @throws {DataError} When there is none.
 */
export async function findLabelSets(
	root: string,
	shards: readonly string[],
): Promise<{ readonly sets: LabelSet[]; readonly hidden: readonly string[] }> {
	const known = new Set(shards);
	const sets = new Map<string, string[]>();
	const { files: all, hidden } = await parquetFiles(root);
	for (const file of all) {
		const name = taskOf(file, known) ?? basename(resolve(root));
		const files = sets.get(name) ?? [];
		files.push(join(root, file));
		sets.set(name, files);
	}
	const found = [...sets].map(([name, files]) => ({ name, files })).sort((a, b) => (a.name < b.name ? -1 : 1));
	return { sets: found, hidden };
}

/**
 * Label files of one task: those in its folder, else those in its shards.
 *
 * @param passedOver - Receives the hidden ones.
 * @throws {DataError} When there is none.
 */
export async function labelFiles(directory: string, passedOver: string[] = []): Promise<string[]> {
	const { files: all, hidden } = await parquetFiles(directory);
	passedOver.push(...hidden.map((file) => join(directory, file)));
	// A folder below one with files is a task of its own.
	const own = all.filter((file) => !file.includes('/'));
	return (own.length > 0 ? own : all).map((file) => join(directory, file));
}

/** Relative to the root with `/`, sorted; hidden files and folders are passed over. */
async function parquetFiles(root: string): Promise<FolderFiles> {
	const found = await visibleFiles(root, /\.parquet$/).catch((cause: NodeJS.ErrnoException) => {
		if (cause instanceof DataError) throw cause;
		const value = faultOf(cause);
		throw new DataError('labels', { file: root, rule: 'must be a folder of label sets', value }, { cause });
	});
	if (found.files.length === 0) {
		throw new DataError('labels', {
			file: root,
			rule: 'must hold label sets as <task>/*.parquet',
			value: found.hidden.length === 0 ? 'no parquet file' : `none but ${found.hidden.length} hidden`,
		});
	}
	return found;
}

/** Name of the task of a label file; undefined when it is that of the root. */
function taskOf(file: string, shards: ReadonlySet<string>): string | undefined {
	const parts = file.split('/');
	// Labels are sharded as the data are: the longest end of the path that is a shard says nothing about the task.
	const shard = parts.findIndex((_, i) => shards.has(parts.slice(i).join('/')));
	if (shard >= 0 && shard < parts.length - 1) return named(parts.slice(0, shard));
	const [split] = folderSplits(`/${file}`);
	if (split !== undefined) return named(parts.slice(0, parts.indexOf(split)));
	if (parts.length > 1) return dirname(file);
	// Beside the root's folders: a shard of its one task, or a task in a file of its own.
	const stem = file.slice(0, -'.parquet'.length);
	return shard >= 0 || /^(part|shard|data)?[-_]?\d*([-_.]\d+)*$/i.test(stem) ? undefined : stem;
}

function named(parts: readonly string[]): string | undefined {
	return parts.length === 0 ? undefined : parts.join('/');
}
