import { randomBytes } from 'node:crypto';
import { mkdirSync, realpathSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';

/** Lock of a folder that is written in place; it lies inside. */
export const lockName = '.lock';

/** A name beside `path` for what is not whole yet; no two are alike, in whatever process or thread. */
export function temporaryBeside(path: string): string {
	return join(dirname(path), `.${basename(path)}.${randomBytes(6).toString('hex')}.tmp`);
}

/** One path for one place, by whichever link it is reached; makes the folder that `path` is to lie in. */
export function realTarget(path: string): string {
	try {
		return realpathSync(path);
	} catch {
		const folder = dirname(resolve(path));
		mkdirSync(folder, { recursive: true });
		return join(realpathSync(folder), basename(resolve(path)));
	}
}

/** Whether a name in a folder is one of its own lock's, or of something that was never finished. */
export function isUnfinished(name: string): boolean {
	return name === lockName || name.startsWith(`${lockName}.`) || isTemporary(name);
}

function isTemporary(name: string): boolean {
	return /^\..*\.[0-9a-f]{12}\.tmp$/.test(name);
}

/** Removes what killed writers left in a folder. Only its one writer may: whoever holds its lock. */
export async function removeUnfinishedIn(folder: string): Promise<void> {
	for (const name of await readdir(folder).catch(() => [])) {
		if (isTemporary(name)) await rm(join(folder, name), { recursive: true, force: true });
	}
}

/** Removes what killed writers of `path` left beside it. Only its one writer may: whoever holds its lock. */
export async function removeUnfinished(path: string): Promise<void> {
	const folder = dirname(path);
	const prefix = `.${basename(path)}.`;
	for (const name of await readdir(folder).catch(() => [])) {
		if (name.startsWith(prefix) && isTemporary(name) && name.length === prefix.length + 16)
			await rm(join(folder, name), { recursive: true, force: true });
	}
}
