import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { withLock } from '../folder-lock.mjs';
import { downloadArchive, downloadWheel } from './download.mjs';
import { InterruptedError, SetupError } from './errors.mjs';
import { missingParts, versionOf, whyUnusable } from './libtorch-folder.mjs';
import { cacheFolder } from './paths.mjs';
import { unpack } from './unpack.mjs';

/**
 * @typedef {{ torch: string, wheels: { requirement: string, extraIndex?: string }[], extra: string[],
 *   archives: Record<string, { url: string, sha256?: string }> }} Variant
 */
/** @typedef {Awaited<ReturnType<typeof downloadWheel>>} Download */
/** @type {{ variants: Record<'cpu' | 'cu13', Variant>, wheels: Record<string, string> }} */
const pins = JSON.parse(readFileSync(new URL('libtorch-pins.json', import.meta.url), 'utf8'));

/** @param {boolean} cuda */
function variantOf(cuda) {
	return cuda ? pins.variants.cu13 : pins.variants.cpu;
}

/** Folder in the cache: holds torch/, libtorch.json and, when all of it is there, `complete`. @param {boolean} cuda */
export function cachedLibtorch(cuda) {
	const name = `${variantOf(cuda).torch}-${cuda ? 'cu13' : 'cpu'}-${process.platform}-${process.arch}`;
	return join(cacheFolder(), 'libtorch', name);
}

/**
 * Folder of the Python torch, found without importing it: that takes seconds.
 *
 * @returns {{ folder: string } | { reason: string }}
 */
function pythonTorch() {
	// A python3 that prints a banner, as wrappers of module systems do, prints it before: the answer has a mark.
	const script =
		'import importlib.util as u; s = u.find_spec("torch"); print("\\nehr-jepa torch:", s.origin if s else "")';
	const { status, stdout } = spawnSync('python3', ['-c', script], { encoding: 'utf8' });
	if (status !== 0) return { reason: 'no python3' };
	const origin = /^ehr-jepa torch: (.+)$/m.exec(stdout)?.[1]?.trim();
	return origin === undefined ? { reason: 'python3 has no torch' } : { folder: dirname(origin) };
}

/**
 * libtorch that is on this machine already: LIBTORCH, a Python torch, or the cache.
 *
 * @param {boolean} cuda
 * @returns {{ folder: string, source: string } | { lookedAt: string[] }}
 * @throws {SetupError} When LIBTORCH is set to something that cannot be used.
 */
export function findLibtorch(cuda) {
	if (process.env.LIBTORCH) {
		const folder = resolve(process.env.LIBTORCH);
		const reason = whyUnusable(folder, cuda);
		if (reason === undefined) return { folder, source: 'LIBTORCH' };
		throw new SetupError(
			`[setup] LIBTORCH must be a folder with include/, lib/ and share/cmake/Torch of libtorch 2.11 to 2.14 but ${folder} ${reason}; unset LIBTORCH to have libtorch found or fetched`,
		);
	}
	const lookedAt = ['LIBTORCH: not set'];
	const python = pythonTorch();
	if ('folder' in python) {
		const reason = whyUnusable(python.folder, cuda);
		if (reason === undefined) return { folder: python.folder, source: 'Python torch' };
		lookedAt.push(`Python: ${python.folder} ${reason}`);
	} else lookedAt.push(`Python: ${python.reason}`);
	const cached = cachedLibtorch(cuda);
	if (existsSync(join(cached, 'complete')) && missingParts(join(cached, 'torch')).length === 0) {
		return { folder: join(cached, 'torch'), source: 'cache' };
	}
	lookedAt.push(`cache: not in ${cached}`);
	return { lookedAt };
}

const checks = {
	pinned: 'as pinned',
	given: 'as given',
	index: 'checked by pip against its index; no pin of ours',
};

/** @param {boolean} cuda @param {string} folder @param {(text: string) => void} say */
async function fetchByPip(cuda, folder, say) {
	const { torch, wheels, extra } = variantOf(cuda);
	/** @type {Download[]} */
	const downloads = [];
	/** @param {string} requirement @param {string} [extraIndex] */
	const add = async (requirement, extraIndex) => {
		say(`pip download ${requirement}`);
		const scratch = join(folder, 'download');
		rmSync(scratch, { recursive: true, force: true });
		const options = { pins: pins.wheels, ...(extraIndex === undefined ? {} : { extraIndex }) };
		const wheel = await downloadWheel(requirement, scratch, options);
		say(`unpack ${wheel.file} (sha256 ${wheel.sha256.slice(0, 12)}, ${checks[wheel.checked]})`);
		await unpack(wheel.path, folder);
		rmSync(scratch, { recursive: true, force: true });
		downloads.push(wheel);
	};
	for (const [index, { requirement, extraIndex }] of wheels.entries()) {
		try {
			await add(requirement, extraIndex);
			break;
		} catch (error) {
			if (error instanceof InterruptedError || index === wheels.length - 1) throw error;
		}
	}
	for (const requirement of extra) await add(requirement);
	const found = versionOf(join(folder, 'torch'));
	if (found !== torch) throw new SetupError(`[setup] pip must give torch ${torch} but gave ${found ?? 'no libtorch'}`);
	return downloads;
}

/** @param {boolean} cuda @param {string} folder @param {(text: string) => void} say */
async function fetchOfficialArchive(cuda, folder, say) {
	const platform = `${process.platform}-${process.arch}`;
	const archive = variantOf(cuda).archives[platform];
	if (archive === undefined) throw new SetupError(`none is known for ${platform}`);
	say('download the official archive');
	const download = await downloadArchive(archive, join(folder, 'download'));
	await unpack(download.path, folder);
	rmSync(join(folder, 'download'), { recursive: true });
	renameSync(join(folder, 'libtorch'), join(folder, 'torch'));
	return [download];
}

/** A failed program's message ends with what it said last. @param {Error} error */
function lastLine(error) {
	const lines = error.message.split('\n').filter((line) => !/notice|WARNING/.test(line));
	return lines.at(-1)?.replace(/^\[setup\] /, '') ?? '';
}

/** @param {boolean} cuda @param {string} folder @param {readonly string[]} lookedAt @param {(text: string) => void} say */
async function fetchInto(cuda, folder, lookedAt, say) {
	const failures = [];
	const ways = { pip: fetchByPip, 'official archive': fetchOfficialArchive };
	for (const [name, fetch] of Object.entries(ways)) {
		rmSync(folder, { recursive: true, force: true });
		mkdirSync(folder, { recursive: true });
		try {
			const downloads = await fetch(cuda, folder, say);
			const reason = whyUnusable(join(folder, 'torch'), cuda);
			if (reason === undefined) return downloads;
			failures.push(`${name}: ${downloads[0]?.file} ${reason}`);
		} catch (error) {
			if (!(error instanceof SetupError)) throw error;
			failures.push(`${name}: ${lastLine(error)}`);
		}
	}
	const lines = [...lookedAt, ...failures].map((line) => `  - ${line}`).join('\n');
	const { torch } = variantOf(cuda);
	const index = cuda ? '' : ' --index-url https://download.pytorch.org/whl/cpu';
	throw new SetupError(
		`[setup] libtorch must be found or fetched but was not:\n${lines}\nRun: python3 -m pip install torch==${torch}${index}\nor set LIBTORCH to the folder of an unpacked libtorch ${torch} (docs/setup.md has the offline way)`,
	);
}

/**
 * Fetches libtorch into the per-user cache. Safe against a second set-up and against interruption at any moment: one
 * process at a time, a temporary folder, one rename, a stamp written last.
 *
 * @param {boolean} cuda
 * @param {readonly string[]} lookedAt - Where it was looked for before, for the message of failure.
 * @param {(text: string) => void} say
 * @returns {Promise<string>} The folder.
 */
export function fetchLibtorch(cuda, lookedAt, say) {
	const target = cachedLibtorch(cuda);
	const fetchLocked = async () => {
		const again = findLibtorch(cuda);
		if ('folder' in again) return again.folder;
		// What an interrupted set-up left: who holds the lock knows that nobody uses it.
		for (const name of readdirSync(dirname(target))) {
			if (name.startsWith(`${basename(target)}.partial-`))
				rmSync(join(dirname(target), name), { recursive: true, force: true });
		}
		const partial = `${target}.partial-${process.pid}`;
		try {
			const downloads = await fetchInto(cuda, partial, lookedAt, say);
			const sources = downloads.map(({ file, sha256, checked }) => ({ file, sha256, checked }));
			const record = { torch: variantOf(cuda).torch, fetchedAt: new Date().toISOString(), sources };
			writeFileSync(join(partial, 'libtorch.json'), `${JSON.stringify(record, undefined, '\t')}\n`);
			rmSync(target, { recursive: true, force: true });
			renameSync(partial, target);
		} catch (error) {
			rmSync(partial, { recursive: true, force: true });
			throw error;
		}
		writeFileSync(join(target, 'complete'), '');
		return join(target, 'torch');
	};
	return withLock(`${target}.lock`, fetchLocked, ({ pid, host }) =>
		say(`process ${pid} on ${host} is fetching libtorch; waiting for it`),
	);
}
