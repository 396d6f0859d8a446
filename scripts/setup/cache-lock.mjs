import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';

const pollMs = 200;
// For holders on other machines that share the folder: their processes cannot be looked at, their heartbeat can.
const heartbeatMs = 15_000;
const silentMs = 10 * heartbeatMs;
const rubbishAgeMs = 24 * 3600 * 1000;

/** @typedef {{ pid: number, host: string, started: string, token: string }} Owner */

/**
 * When a process started, to tell it from a later one with the same number; '' where that cannot be known.
 *
 * @param {number} pid
 */
function startOf(pid) {
	if (process.platform !== 'linux')
		return spawnSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' }).stdout?.trim() ?? '';
	try {
		// Field 22 of proc_pid_stat(5); the second one is in brackets and may hold spaces.
		const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
		return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
	} catch {
		return '';
	}
}

/** @param {string} lock @returns {Owner | undefined} Undefined when the lock was released meanwhile. */
function ownerOf(lock) {
	try {
		return JSON.parse(readFileSync(join(lock, 'owner.json'), 'utf8'));
	} catch {
		return undefined;
	}
}

/** The system's name of an error. @param {unknown} error @returns {string | undefined} */
function codeOf(error) {
	return /** @type {NodeJS.ErrnoException} */ (error).code;
}

/** @param {string} lock @param {Owner} owner */
function isStale(lock, owner) {
	if (owner.host !== hostname()) {
		try {
			return Date.now() - statSync(join(lock, 'owner.json')).mtimeMs > silentMs;
		} catch {
			return false;
		}
	}
	try {
		process.kill(owner.pid, 0);
	} catch (error) {
		// EPERM: another user's process, alive.
		if (codeOf(error) === 'ESRCH') return true;
	}
	const started = startOf(owner.pid);
	return started !== '' && owner.started !== '' && started !== owner.started;
}

/**
 * Takes the lock by one rename of a folder that names its owner already: no moment at which the lock has none.
 *
 * @param {string} lock
 * @param {Owner} owner
 */
function tryTake(lock, owner) {
	const ticket = `${lock}.ticket-${owner.token}`;
	mkdirSync(ticket, { recursive: true });
	writeFileSync(join(ticket, 'owner.json'), JSON.stringify(owner));
	try {
		renameSync(ticket, lock);
		return true;
	} catch (error) {
		rmSync(ticket, { recursive: true, force: true });
		if (['ENOTEMPTY', 'EEXIST'].includes(codeOf(error) ?? '')) return false;
		throw error;
	}
}

/**
 * Moves a dead owner's lock aside, under a name made of its token. A second process that judged the same owner dead finds
 * that name taken, so it cannot move away the lock that a third one took meanwhile.
 *
 * @param {string} lock
 * @param {Owner} owner
 */
function moveAside(lock, owner) {
	try {
		renameSync(lock, `${lock}.stale-${owner.token}`);
	} catch (error) {
		if (!['ENOTEMPTY', 'EEXIST', 'ENOENT'].includes(codeOf(error) ?? '')) throw error;
	}
}

/** @param {string} lock */
function sweep(lock) {
	for (const name of readdirSync(dirname(lock))) {
		if (!name.startsWith(`${basename(lock)}.stale-`) && !name.startsWith(`${basename(lock)}.ticket-`)) continue;
		const path = join(dirname(lock), name);
		try {
			if (Date.now() - statSync(path).mtimeMs > rubbishAgeMs) rmSync(path, { recursive: true, force: true });
		} catch {
			// Another process was faster.
		}
	}
}

/**
 * Runs `work` while no other process does, by a lock folder. The lock of a process that died is taken over.
 *
 * @template T
 * @param {string} lock - Path of the lock folder.
 * @param {() => Promise<T>} work
 * @param {(owner: Owner) => void} [onWait] - Called once when another process holds the lock.
 * @returns {Promise<T>}
 */
export async function withLock(lock, work, onWait) {
	mkdirSync(dirname(lock), { recursive: true });
	const owner = { pid: process.pid, host: hostname(), started: startOf(process.pid), token: randomUUID() };
	let waited = false;
	while (!tryTake(lock, owner)) {
		const holder = ownerOf(lock);
		if (holder === undefined) continue;
		if (isStale(lock, holder)) {
			moveAside(lock, holder);
			continue;
		}
		if (!waited) onWait?.(holder);
		waited = true;
		await setTimeout(pollMs);
	}
	const heartbeat = setInterval(() => {
		const now = new Date();
		utimesSync(join(lock, 'owner.json'), now, now);
	}, heartbeatMs).unref();
	const release = () => {
		clearInterval(heartbeat);
		if (ownerOf(lock)?.token === owner.token) rmSync(lock, { recursive: true, force: true });
	};
	process.once('exit', release);
	try {
		sweep(lock);
		return await work();
	} finally {
		process.off('exit', release);
		release();
	}
}
