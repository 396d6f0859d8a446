import { mkdirSync, rmdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { takeLock } from '#folder-lock';
import { OutputError } from '../errors.js';
import { exists, requireAbsent, requireEmptyFolder } from './exists.js';
import { faultOf } from './faults.js';
import { lockName, realTarget, removeUnfinished } from './names.js';
import { writeError } from './write-errors.js';

/** The right to write one file or folder, until it is released or the process ends. */
export interface WriteLock extends Disposable {
	release(): void;
	/** Releases it and removes the folder, if this made it and nothing else is in it. */
	remove(): void;
}

/**
 * Takes the lock of a folder that is written in place, such as a run folder; makes the folder if it is not there.
 *
 * @throws {OutputError} When another writer has it, in this process or another; names that process. A dead one's lock is
 *   taken over.
 */
export function lockFolder(folder: string): WriteLock {
	let made: string | undefined;
	const undo = () => {
		if (made === undefined) return;
		try {
			rmdirSync(folder);
		} catch {
			// Another has begun to fill it.
		}
	};
	return lock(
		folder,
		() => {
			made = mkdirSync(folder, { recursive: true });
			return join(folder, lockName);
		},
		undo,
	);
}

/** As {@link lockFolder}, of a folder that must be empty or absent. @throws {OutputError} */
export async function lockNewFolder(folder: string): Promise<WriteLock> {
	// Checked first, so that no lock is put into a folder of something else; one that has a writer names it.
	if (!(await exists(join(folder, lockName)))) await requireEmptyFolder(folder);
	const taken = lockFolder(folder);
	try {
		await requireEmptyFolder(folder);
		return taken;
	} catch (cause) {
		taken.remove();
		throw cause;
	}
}

/** The lock of a file that must not exist yet; what killed writers left of it is removed. @throws {OutputError} When it does, or another is writing it. */
export async function lockNewFile(path: string): Promise<WriteLock> {
	await requireAbsent(path);
	const taken = lockTarget(path);
	try {
		await requireAbsent(path);
		await removeUnfinished(realTarget(path));
		return taken;
	} catch (cause) {
		taken.release();
		throw cause;
	}
}

/** As {@link lockFolder}, of a file or folder that appears whole: the lock lies beside it. */
export function lockTarget(path: string): WriteLock {
	return lock(path, () => {
		const target = realTarget(path);
		return join(dirname(target), `.${basename(target)}${lockName}`);
	});
}

function lock(path: string, prepare: () => string, undo: () => void = () => {}): WriteLock {
	let taken: ReturnType<typeof takeLock>;
	let place: string;
	try {
		place = prepare();
		taken = takeLock(place);
	} catch (cause) {
		undo();
		const error = writeError(path, cause);
		if (error instanceof OutputError) throw error;
		throw new OutputError(`[output] ${path} could not be locked for writing: ${faultOf(cause)}`, { cause });
	}
	if (taken.holder !== undefined) {
		const { pid, host } = taken.holder;
		const who = pid === undefined ? 'another process' : pid === process.pid ? 'this process' : `process ${pid}`;
		throw new OutputError(
			`[output] ${path} must have one writer but ${who}${host === undefined ? '' : ` on ${host}`} is writing it (${place}); wait for it to end or choose another name`,
		);
	}
	const { release } = taken.lock;
	const remove = () => {
		release();
		undo();
	};
	return { release, remove, [Symbol.dispose]: release };
}
