import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { AbortedError, OutputError } from '../errors.js';
import { requireEmptyFolder, unwritable, writeWhole } from './whole.js';

/**
 * Runs `work` on an unfinished folder beside `out` and renames it when it is complete, so that a folder with that name is
 * whole. A run that was killed or aborted leaves `.<name>.partial`; the next one with the same `plan` goes on in it, one
 * with another plan starts anew. After an error nothing is left.
 *
 * @param plan - Everything that decides what is written.
 * @throws {OutputError} When `out` is not empty, or another process is writing it.
 */
export async function writePartialFolder<T>(
	out: string,
	plan: string,
	work: (folder: string) => Promise<T>,
	onWarning?: (message: string) => void,
): Promise<T> {
	await requireEmptyFolder(out);
	const path = resolve(out);
	const partial = join(dirname(path), `.${basename(path)}.partial`);
	const lock = `${partial}.lock`;
	await takeLock(lock, out);
	let keep = false;
	try {
		const found = await readFile(join(partial, 'plan'), 'utf8').catch(() => undefined);
		if (found !== plan) {
			if (found !== undefined) onWarning?.(`${partial} was begun with other data or options and is started anew`);
			await rm(partial, { recursive: true, force: true });
			await mkdir(partial, { recursive: true });
			await writeWhole(join(partial, 'plan'), plan);
		}
		const result = await work(partial);
		await rm(join(partial, 'plan'));
		await rm(out, { recursive: true, force: true });
		await rename(partial, path);
		return result;
	} catch (cause) {
		keep = cause instanceof AbortedError;
		const reason = unwritable[(cause as NodeJS.ErrnoException).code ?? ''];
		if (reason !== undefined)
			throw new OutputError(`[output] ${out} could not be written: ${reason}; nothing is left of it`, { cause });
		throw cause;
	} finally {
		if (!keep) await rm(partial, { recursive: true, force: true }).catch(() => undefined);
		await rm(lock, { force: true }).catch(() => undefined);
	}
}

async function takeLock(lock: string, out: string): Promise<void> {
	try {
		await mkdir(dirname(lock), { recursive: true });
		for (let attempt = 0; ; attempt++) {
			try {
				return await writeFile(lock, String(process.pid), { flag: 'wx' });
			} catch (cause) {
				if ((cause as NodeJS.ErrnoException).code !== 'EEXIST' || attempt > 0) throw cause;
				const holder = Number(await readFile(lock, 'utf8').catch(() => '0'));
				if (holder > 0 && isRunning(holder))
					throw new OutputError(
						`[output] ${out} must not be written by two at once but process ${holder} is writing it; wait for it or choose another folder`,
					);
				// Its process was killed: what it left is gone on with.
				await rm(lock, { force: true });
			}
		}
	} catch (cause) {
		if (cause instanceof OutputError) throw cause;
		throw new OutputError(`[output] ${lock} could not be made: ${(cause as Error).message}`, { cause });
	}
}

function isRunning(pid: number): boolean {
	try {
		process.kill(pid, 0);
		return true;
	} catch (cause) {
		return (cause as NodeJS.ErrnoException).code === 'EPERM';
	}
}

/** Removes what is in a folder but not in a list. */
export async function keepOnly(folder: string, names: ReadonlySet<string>): Promise<void> {
	for (const name of await readdir(folder)) if (!names.has(name)) await rm(join(folder, name), { recursive: true });
}
