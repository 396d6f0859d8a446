import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';

// An owner that wrote nothing this long ago died between two lines of code.
const ownerlessMs = 10_000;

/** Process that holds a lock, or undefined when it is gone. @param {string} lock */
function livingOwner(lock) {
	try {
		const pid = Number(readFileSync(join(lock, 'pid'), 'utf8'));
		process.kill(pid, 0);
		return pid;
	} catch (error) {
		// Not allowed to signal it: it lives.
		if (error.code === 'EPERM') return -1;
		return undefined;
	}
}

function isStale(lock) {
	if (livingOwner(lock) !== undefined) return false;
	try {
		readFileSync(join(lock, 'pid'));
		return true;
	} catch {
		try {
			return Date.now() - statSync(lock).mtimeMs > ownerlessMs;
		} catch {
			return false;
		}
	}
}

/**
 * Runs `work` while no other process of this machine does, by a lock folder: mkdir is atomic. A lock whose owner died is
 * taken over.
 *
 * @template T
 * @param {string} lock - Path of the lock folder.
 * @param {() => Promise<T>} work
 * @param {(owner: number | undefined) => void} [onWait] - Called once when another process holds the lock.
 * @returns {Promise<T>}
 */
export async function withLock(lock, work, onWait) {
	mkdirSync(dirname(lock), { recursive: true });
	let waited = false;
	for (;;) {
		try {
			mkdirSync(lock);
			break;
		} catch (error) {
			if (error.code !== 'EEXIST') throw error;
		}
		if (isStale(lock)) {
			rmSync(lock, { recursive: true, force: true });
			continue;
		}
		if (!waited) onWait?.(livingOwner(lock));
		waited = true;
		await setTimeout(250);
	}
	writeFileSync(join(lock, 'pid'), String(process.pid));
	const release = () => rmSync(lock, { recursive: true, force: true });
	process.once('exit', release);
	try {
		return await work();
	} finally {
		process.off('exit', release);
		release();
	}
}
