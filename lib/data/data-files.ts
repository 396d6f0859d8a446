import { readdir } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import { DataError } from '../errors.js';

/**
 * Data files of a MEDS folder, `data/` and any folders below it, relative to the root, with `/`, sorted.
 *
 * @throws {DataError} When there is no such folder or no parquet file in it.
 */
export async function dataFiles(scope: string, directory: string): Promise<string[]> {
	const root = join(directory, 'data');
	const fix = 'give the root of a MEDS data set (it holds data/ and metadata/)';
	let entries: Awaited<ReturnType<typeof listing>>;
	try {
		entries = await listing(root);
	} catch (cause) {
		throw new DataError(scope, { file: root, rule: 'must be a folder of parquet files', fix }, { cause });
	}
	// A folder may be called part.parquet too: other writers put shards into one.
	const files = entries
		.filter((entry) => entry.name.endsWith('.parquet') && !entry.isDirectory())
		.map((entry) => relative(directory, join(entry.parentPath, entry.name)).split(sep).join('/'));
	if (files.length === 0) {
		throw new DataError(scope, {
			file: root,
			rule: 'must hold at least one .parquet file',
			value: `none among ${entries.length} entries`,
			fix,
		});
	}
	return files.sort();
}

function listing(root: string) {
	return readdir(root, { recursive: true, withFileTypes: true });
}
