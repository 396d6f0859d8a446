import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import {
	existsSync,
	mkdirSync,
	readdirSync,
	readFileSync,
	readlinkSync,
	renameSync,
	rmSync,
	statSync,
	utimesSync,
	writeFileSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';

// The one lock of the package: set-up runs it before anything is installed or compiled, so it is plain JavaScript on Node
// alone; `lib/files/lock.ts` takes it through "#folder-lock" of package.json.

const pollMs = 200;
// For holders on other machines that share the folder: their processes cannot be looked at, their heartbeat can.
const heartbeatMs = 15_000;
const silentMs = 10 * heartbeatMs;
const rubbishAgeMs = 24 * 3600 * 1000;

/** @typedef {{ pid: number, host: string, processes: string, started: string, token: string }} Owner */
/** @typedef {{ release: () => void }} Lock */

/** Tells processes of one container from those of another with the same host name: both may have a process 7. */
function processNamespace() {
	try {
		return readlinkSync('/proc/self/ns/pid');
	} catch {
		return '';
	}
}

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

/** @param {string} lock @returns {Owner | undefined} Undefined when it was released meanwhile, or cannot be read. */
function ownerOf(lock) {
	try {
		const owner = JSON.parse(readFileSync(join(lock, 'owner.json'), 'utf8'));
		return typeof owner?.token === 'string' ? owner : undefined;
	} catch {
		return undefined;
	}
}

/** @param {string} path */
function isSilent(path) {
	try {
		return Date.now() - statSync(path).mtimeMs > silentMs;
	} catch {
		return false;
	}
}

/** The system's name of an error; '' when it has none. @param {unknown} error */
function codeOf(error) {
	return /** @type {NodeJS.ErrnoException} */ (error).code ?? '';
}

/** @param {string} lock @param {Owner} owner */
function isStale(lock, owner) {
	if (owner.host !== hostname() || (owner.processes ?? processNamespace()) !== processNamespace())
		return isSilent(join(lock, 'owner.json'));
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
	try {
		mkdirSync(ticket, { recursive: true });
		writeFileSync(join(ticket, 'owner.json'), JSON.stringify(owner));
		renameSync(ticket, lock);
		return true;
	} catch (error) {
		rmSync(ticket, { recursive: true, force: true });
		if (['ENOTEMPTY', 'EEXIST'].includes(codeOf(error))) return false;
		throw error;
	}
}

/**
 * Moves a dead owner's lock aside, under a name made of its token. A second process that judged the same owner dead finds
 * that name taken, so it cannot move away the lock that a third one took meanwhile.
 *
 * @param {string} lock
 * @param {{ token: string }} owner
 */
function moveAside(lock, owner) {
	try {
		renameSync(lock, `${lock}.stale-${owner.token}`);
	} catch (error) {
		if (!['ENOTEMPTY', 'EEXIST', 'ENOENT'].includes(codeOf(error))) throw error;
	}
}

/** @param {string} lock */
function sweep(lock) {
	for (const name of readdirSync(dirname(lock))) {
		if (!/^\.(stale|ticket|released)-/.test(name.slice(basename(lock).length)) || !name.startsWith(basename(lock)))
			continue;
		const path = join(dirname(lock), name);
		try {
			if (Date.now() - statSync(path).mtimeMs > rubbishAgeMs) rmSync(path, { recursive: true, force: true });
		} catch {
			// Another process was faster.
		}
	}
}

/** Locks of this process; those that are left when it exits are released then. @type {Set<() => void>} */
const held = new Set();

/** @param {string} lock @param {Owner} owner @returns {Lock} */
function holdLock(lock, owner) {
	const heartbeat = setInterval(() => {
		const now = new Date();
		try {
			utimesSync(join(lock, 'owner.json'), now, now);
		} catch {
			// Someone removed the folder; what is written into it next says so.
		}
	}, heartbeatMs).unref();
	const release = () => {
		clearInterval(heartbeat);
		held.delete(release);
		if (ownerOf(lock)?.token !== owner.token) return;
		// Renamed first: a lock that is removed file by file has a moment in which another may take it, and lose it.
		const aside = `${lock}.released-${owner.token}`;
		try {
			renameSync(lock, aside);
		} catch {
			rmSync(lock, { recursive: true, force: true });
		}
		rmSync(aside, { recursive: true, force: true });
	};
	if (held.size === 0 && !process.listeners('exit').includes(releaseAll)) process.on('exit', releaseAll);
	held.add(release);
	return { release };
}

function releaseAll() {
	for (const release of [...held]) {
		try {
			release();
		} catch {
			// The process is dead to the next one that asks.
		}
	}
}

/**
 * Takes a lock folder if no living process holds it. The lock of a process that died is taken over, that of another machine
 * once it was silent for {@link silentMs}.
 *
 * @param {string} lock - Path of the lock folder.
 * @returns {{ lock: Lock, holder?: undefined } | { lock?: undefined, holder: Partial<Owner> }} The lock, or who holds it.
 */
export function takeLock(lock) {
	mkdirSync(dirname(lock), { recursive: true });
	const owner = {
		pid: process.pid,
		host: hostname(),
		processes: processNamespace(),
		started: startOf(process.pid),
		token: randomUUID(),
	};
	while (!tryTake(lock, owner)) {
		const holder = ownerOf(lock);
		if (holder !== undefined) {
			if (!isStale(lock, holder)) return { holder };
			moveAside(lock, holder);
		} else if (isSilent(lock)) {
			// Its owner's name was lost, as a power cut does.
			moveAside(lock, { token: 'unreadable' });
			rmSync(`${lock}.stale-unreadable`, { recursive: true, force: true });
		} else if (existsSync(lock)) return { holder: {} };
	}
	const taken = holdLock(lock, owner);
	sweep(lock);
	return { lock: taken };
}

/**
 * Runs `work` while no other process does, waiting for the one that does.
 *
 * @template T
 * @param {string} lock - Path of the lock folder.
 * @param {() => Promise<T>} work
 * @param {(owner: Partial<Owner>) => void} [onWait] - Called once when another process holds the lock.
 * @returns {Promise<T>}
 */
export async function withLock(lock, work, onWait) {
	let waited = false;
	for (;;) {
		const { lock: taken, holder } = takeLock(lock);
		if (taken !== undefined) {
			try {
				return await work();
			} finally {
				taken.release();
			}
		}
		if (!waited) onWait?.(holder);
		waited = true;
		await setTimeout(pollMs);
	}
}
