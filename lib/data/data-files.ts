import { join } from 'node:path';
import { DataError } from '../errors.js';
import { type FolderFiles, visibleFiles } from '../files/visible-files.js';

/**
 * Data files of a MEDS folder, `data/` and any folders below it, relative to the root, with `/`, sorted; hidden ones apart.
 *
 * @throws {DataError} When there is no such folder or no parquet file in it.
 */
export async function dataFiles(scope: string, directory: string): Promise<FolderFiles> {
	const root = join(directory, 'data');
	const fix = 'give the root of a MEDS data set (it holds data/ and metadata/)';
	let found: FolderFiles;
	try {
		found = await visibleFiles(root, /\.parquet$/);
	} catch (cause) {
		if (cause instanceof DataError) throw cause;
		throw new DataError(scope, { file: root, rule: 'must be a folder of parquet files', fix }, { cause });
	}
	const { files, hidden } = found;
	if (files.length === 0) {
		throw new DataError(scope, {
			file: root,
			rule: 'must hold at least one .parquet file',
			value: hidden.length === 0 ? 'none' : `none but ${hidden.length} hidden (first ${hidden[0]})`,
			fix,
		});
	}
	const below = (name: string) => `data/${name}`;
	return { files: files.map(below), hidden: hidden.map(below) };
}
