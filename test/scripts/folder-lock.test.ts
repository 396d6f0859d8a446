import { existsSync, mkdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { scriptUrl, withLock } from './script-modules.js';
import { appearance, startNode } from './script-process.js';

/** Adds one to a number in a file, slowly: without a lock, additions are lost. */
const increment = `
const [lock, file, rounds, url] = process.argv.slice(1);
const { withLock } = await import(url);
const { readFileSync, writeFileSync } = await import('node:fs');
const { setTimeout } = await import('node:timers/promises');
for (let round = 0; round < Number(rounds); round++) {
	await withLock(lock, async () => {
		const value = Number(readFileSync(file, 'utf8'));
		await setTimeout(5);
		writeFileSync(file, String(value + 1));
	});
}`;

function contender(lock: string, file: string, rounds: number) {
	const args = ['--input-type=module', '-e', increment, lock, file, String(rounds), scriptUrl('folder-lock.mjs')];
	return startNode(args, process.env).ended;
}

/** A lock as a process would have left it that was killed. */
function abandonedLock(lock: string, owner: { pid: number; host?: string; started?: string }): void {
	mkdirSync(lock, { recursive: true });
	const record = { host: hostname(), started: '', token: 'left-behind', ...owner };
	writeFileSync(join(lock, 'owner.json'), JSON.stringify(record));
}

// Above the largest pid_max of Linux and macOS.
const noProcess = 2 ** 22 + 1;

t.test('two processes never hold the lock at once, also when both find a dead owner', async (t) => {
	const folder = t.testdir({ count: '0' });
	const lock = join(folder, 'lock');
	abandonedLock(lock, { pid: noProcess });
	const outcomes = await Promise.all([1, 2].map(() => contender(lock, join(folder, 'count'), 4)));
	for (const { status, stderr } of outcomes) t.equal(status, 0, stderr);
	t.equal(readFileSync(join(folder, 'count'), 'utf8'), '8');
	t.notOk(existsSync(lock), 'released');
});

t.test('the lock of a killed process is taken over', async (t) => {
	const folder = t.testdir();
	const lock = join(folder, 'lock');
	const hold = `
const [lock, file, url] = process.argv.slice(1);
const { withLock } = await import(url);
const { writeFileSync } = await import('node:fs');
await withLock(lock, async () => {
	writeFileSync(file, '');
	await new Promise((resolve) => setTimeout(resolve, 60_000));
});`;
	const marker = join(folder, 'held');
	const { child, ended } = startNode(
		['--input-type=module', '-e', hold, lock, marker, scriptUrl('folder-lock.mjs')],
		process.env,
	);
	await appearance(marker);
	let waitedFor: number | undefined;
	const second = withLock(
		lock,
		async () => 'mine',
		(owner) => {
			waitedFor = owner.pid;
			child.kill('SIGKILL');
		},
	);
	t.equal(await second, 'mine');
	t.equal(waitedFor, child.pid, 'the one who waits is told for whom');
	t.equal((await ended).signal, 'SIGKILL');
});

t.test(
	'a process that took the number of a dead owner does not keep its lock',
	{
		skip: process.platform === 'linux' ? false : 'start times are read from /proc',
	},
	async (t) => {
		const lock = join(t.testdir(), 'lock');
		abandonedLock(lock, { pid: process.pid, started: '1' });
		t.equal(await withLock(lock, async () => 'mine'), 'mine');
	},
);

t.test('an owner on another machine is judged by its heartbeat', async (t) => {
	const lock = join(t.testdir(), 'lock');
	abandonedLock(lock, { pid: noProcess, host: 'elsewhere' });
	let waited = false;
	const outcome = withLock(
		lock,
		async () => 'mine',
		() => {
			waited = true;
			const longAgo = new Date(Date.now() - 3600_000);
			utimesSync(join(lock, 'owner.json'), longAgo, longAgo);
		},
	);
	t.equal(await outcome, 'mine');
	t.ok(waited, 'waited while the heartbeat was fresh');
});

t.test('a failure in the work releases the lock and is passed on', async (t) => {
	const lock = join(t.testdir(), 'lock');
	const work = () => Promise.reject(new Error('no disk'));
	await t.rejects(withLock(lock, work), { message: 'no disk' });
	t.equal(await withLock(lock, async () => 'mine'), 'mine');
});
