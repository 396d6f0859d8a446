import { readdir, readFile, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { AbortedError } from '../errors.js';
import { requireEmptyFolder } from './exists.js';
import { lockTarget } from './lock.js';
import { realTarget } from './names.js';
import { sync, syncTree } from './sync.js';
import { makeFolder, writeWhole } from './whole.js';
import { underName } from './write-errors.js';

/**
 * Runs `work` on an unfinished folder beside `out` and renames it when it is complete, so that a folder with that name is
 * whole. A run that was killed or aborted leaves `.<name>.partial`; the next one with the same `plan` continues in it, one
 * with another plan starts anew. After an error nothing is left.
 *
 * @param plan - Everything that decides what is written.
 * @throws {OutputError} When `out` is not empty, or another is writing it. And what `work` throws.
 */
export async function writePartialFolder<T>(
	out: string,
	plan: string,
	work: (folder: string) => Promise<T>,
	onWarning?: (message: string) => void,
): Promise<T> {
	await requireEmptyFolder(out);
	using _lock = lockTarget(out);
	await requireEmptyFolder(out);
	const path = realTarget(out);
	const partial = join(dirname(path), `.${basename(path)}.partial`);
	let keep = false;
	try {
		const found = await readFile(join(partial, 'plan'), 'utf8').catch(() => undefined);
		if (found !== plan) {
			if (found !== undefined) onWarning?.(`${partial} was begun with other data or options and is started anew`);
			await rm(partial, { recursive: true, force: true });
			await makeFolder(partial);
			await writeWhole(join(partial, 'plan'), plan);
		}
		const result = await work(partial);
		await rm(join(partial, 'plan'));
		await syncTree(partial);
		try {
			await rename(partial, path);
		} catch (cause) {
			await requireEmptyFolder(out);
			throw cause;
		}
		await sync(dirname(path));
		return result;
	} catch (cause) {
		keep = cause instanceof AbortedError;
		throw underName(out, partial, cause);
	} finally {
		if (!keep) await rm(partial, { recursive: true, force: true }).catch(() => undefined);
	}
}

/** Removes what is in a folder but not in a list. */
export async function keepOnly(folder: string, names: ReadonlySet<string>): Promise<void> {
	for (const name of await readdir(folder)) if (!names.has(name)) await rm(join(folder, name), { recursive: true });
}
