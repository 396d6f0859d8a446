import { access, mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { OutputError } from '../errors.js';

/** Errors of the file system that are the output's fault. */
export const unwritable: Readonly<Record<string, string>> = {
	ENOSPC: 'the disk is full',
	EDQUOT: 'the disk quota is used up',
	EFBIG: 'a file is larger than the limit on file sizes',
	EROFS: 'the file system is read-only',
	EACCES: 'permission is missing',
	EPERM: 'permission is missing',
};

/** Whether a file or folder is there; what is written whole is then complete. */
export async function exists(path: string): Promise<boolean> {
	return access(path).then(
		() => true,
		() => false,
	);
}

/** Refuses a folder that exists and is not empty: nothing is written over. */
export async function requireEmptyFolder(folder: string): Promise<void> {
	let names: string[];
	try {
		names = await readdir(folder);
	} catch (cause) {
		if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return;
		throw new OutputError(`[output] ${folder} must be a folder but cannot be read: ${(cause as Error).message}`, {
			cause,
		});
	}
	if (names.length > 0) {
		throw new OutputError(
			`[output] ${folder} must be empty or absent but holds ${names.length} entries (${names.slice(0, 3).join(', ')}); choose another folder or remove it`,
		);
	}
}

/** Writes a whole file or none: temporary name, fsync, rename. */
export async function writeWhole(path: string, content: string): Promise<void> {
	const temporary = temporaryBeside(path);
	try {
		const file = await open(temporary, 'w');
		try {
			await file.writeFile(content);
			await file.sync();
		} finally {
			await file.close();
		}
		await rename(temporary, path);
	} catch (cause) {
		// The first error counts, not a failure to clean up after it.
		await rm(temporary, { force: true }).catch(() => undefined);
		throw new OutputError(`[output] ${path} could not be written: ${(cause as Error).message}`, { cause });
	}
}

/**
 * Runs `work` on a temporary folder beside `folder` and renames it when it is complete, so that a folder with that name
 * is whole. On any failure nothing is left.
 *
 * @throws {OutputError} When the folder exists and is not empty.
 */
export async function writeWholeFolder<T>(folder: string, work: (temporary: string) => Promise<T>): Promise<T> {
	await requireEmptyFolder(folder);
	const temporary = temporaryBeside(resolve(folder));
	try {
		await rm(temporary, { recursive: true, force: true });
		await mkdir(temporary, { recursive: true });
	} catch (cause) {
		throw new OutputError(`[output] ${temporary} could not be made: ${(cause as Error).message}`, { cause });
	}
	try {
		const result = await work(temporary);
		await rm(folder, { recursive: true, force: true });
		await rename(temporary, folder);
		return result;
	} catch (cause) {
		await rm(temporary, { recursive: true, force: true }).catch(() => undefined);
		const reason = unwritable[(cause as NodeJS.ErrnoException).code ?? ''];
		if (reason !== undefined) {
			throw new OutputError(`[output] ${folder} could not be written: ${reason}; nothing is left of it`, { cause });
		}
		throw cause;
	}
}

function temporaryBeside(path: string): string {
	return join(dirname(path), `.${basename(path)}.${process.pid}.tmp`);
}
