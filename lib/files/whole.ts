import { mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { requireEmptyFolder } from './exists.js';
import { lockTarget } from './lock.js';
import { realTarget, removeUnfinished, temporaryBeside } from './names.js';
import { sync, syncTree } from './sync.js';
import { outputError, underName } from './write-errors.js';

/**
 * Writes a whole file or none, in the place of one that may be there.
 *
 * @throws {OutputError}
 */
export async function writeWhole(path: string, content: string | Uint8Array): Promise<void> {
	try {
		await writeWholeFile(path, async (temporary) => {
			const file = await open(temporary, 'w');
			try {
				await file.writeFile(content);
			} finally {
				await file.close();
			}
		});
	} catch (cause) {
		throw outputError(path, cause);
	}
}

/**
 * As {@link writeWhole}, of a file that `work` writes under the name it is given. On any failure nothing is left.
 *
 * @throws {OutputError} And what `work` throws.
 */
export async function writeWholeFile<T>(path: string, work: (temporary: string) => Promise<T>): Promise<T> {
	const temporary = temporaryBeside(resolve(path));
	try {
		const result = await work(temporary);
		await sync(temporary);
		await rename(temporary, path);
		await sync(dirname(resolve(path)));
		return result;
	} catch (cause) {
		// The first error counts, not a failure to clean up after it.
		await rm(temporary, { force: true }).catch(() => undefined);
		throw underName(path, temporary, cause);
	}
}

/**
 * Runs `work` on a temporary folder beside `folder` and renames it when it is complete, so that a folder with that name
 * is whole. On any failure nothing is left. Of two writers at once, in whatever process, the second is refused.
 *
 * @throws {OutputError} When the folder exists and is not empty, or another is writing it. And what `work` throws.
 */
export async function writeWholeFolder<T>(folder: string, work: (temporary: string) => Promise<T>): Promise<T> {
	await requireEmptyFolder(folder);
	using _lock = lockTarget(folder);
	await requireEmptyFolder(folder);
	const path = realTarget(folder);
	await removeUnfinished(path);
	return await replaceFolder(path, work, async (temporary) => {
		try {
			// Takes the place of an empty folder, and of nothing else.
			await rename(temporary, path);
		} catch (cause) {
			await requireEmptyFolder(folder);
			throw cause;
		}
	});
}

/**
 * Runs `work` on a temporary folder beside `path` and puts it in the place of what is there. The caller sees to it that
 * `path` has one writer.
 *
 * @param place - Gives the complete folder its name; by default what has that name is removed.
 * @throws {OutputError} And what `work` throws.
 */
export async function replaceFolder<T>(
	path: string,
	work: (temporary: string) => Promise<T>,
	place = async (temporary: string) => {
		await rm(path, { recursive: true, force: true });
		await rename(temporary, path);
	},
): Promise<T> {
	const temporary = temporaryBeside(resolve(path));
	try {
		await makeFolder(temporary);
		const result = await work(temporary);
		await syncTree(temporary);
		await place(temporary);
		await sync(dirname(resolve(path)));
		return result;
	} catch (cause) {
		await rm(temporary, { recursive: true, force: true }).catch(() => undefined);
		throw underName(path, temporary, cause);
	}
}

/** Makes a folder and those above it. @throws {OutputError} */
export async function makeFolder(path: string): Promise<void> {
	try {
		await mkdir(path, { recursive: true });
	} catch (cause) {
		throw outputError(path, cause);
	}
}
