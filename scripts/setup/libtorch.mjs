import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
	createReadStream,
	existsSync,
	mkdirSync,
	readdirSync,
	readFileSync,
	renameSync,
	rmSync,
	writeFileSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { withLock } from './cache-lock.mjs';
import { SetupError } from './errors.mjs';
import { cacheFolder } from './paths.mjs';
import { runCommand } from './run-command.mjs';

const pins = JSON.parse(readFileSync(new URL('libtorch-pins.json', import.meta.url), 'utf8'));
const supported = /^2\.1[34]\./;

/** @returns {{ name: string, torch: string, extra: string[] }} What is fetched: the CPU build, or CUDA with EHR_JEPA_CUDA=1. */
export function variant(cuda) {
	return cuda ? pins.variants.cu13 : pins.variants.cpu;
}

/** A folder holds libtorch when CMake can find it there. */
function isLibtorch(folder) {
	return ['include/ATen', 'lib', 'share/cmake/Torch/TorchConfig.cmake'].every((part) => existsSync(join(folder, part)));
}

function versionOf(folder) {
	try {
		const header = readFileSync(join(folder, 'include/torch/headeronly/version.h'), 'utf8');
		return (
			/TORCH_VERSION "?([0-9][^"\s]*)/.exec(header)?.[1] ??
			[...header.matchAll(/TORCH_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)/g)].map((m) => m[1]).join('.')
		);
	} catch {
		return undefined;
	}
}

/** Folder of an importable Python torch of a supported version; what was found otherwise. */
function pythonTorch() {
	const result = spawnSync('python3', ['-c', 'import torch; print(torch.__file__); print(torch.__version__)'], {
		encoding: 'utf8',
	});
	if (result.status !== 0) return { reason: 'python3 has no importable torch' };
	const [file, version] = result.stdout.trim().split('\n');
	if (!supported.test(version ?? '')) return { reason: `python3 has torch ${version}, which is not 2.13 or 2.14` };
	const folder = dirname(file);
	return isLibtorch(folder) ? { folder, version } : { reason: `torch in ${folder} has no headers` };
}

function cachedFolder(cuda) {
	const { name, torch } = variant(cuda);
	return join(cacheFolder(), 'libtorch', `${torch}-${name}-${process.platform}-${process.arch}`);
}

/**
 * libtorch that is on this machine already: LIBTORCH, a Python torch, or the cache.
 *
 * @returns {{ folder: string, source: string } | { lookedAt: string[] }}
 */
export function findLibtorch(cuda) {
	const lookedAt = [];
	const named = process.env.LIBTORCH;
	if (named) {
		const folder = resolve(named);
		if (!isLibtorch(folder))
			throw new SetupError(
				`[setup] LIBTORCH must be a folder with include/, lib/ and share/cmake/Torch but ${folder} is not; unset it to have libtorch fetched`,
			);
		const version = versionOf(folder);
		if (version !== undefined && !supported.test(version))
			throw new SetupError(`[setup] LIBTORCH must be libtorch 2.13 or 2.14 but ${folder} holds ${version}`);
		return { folder, source: 'LIBTORCH' };
	}
	lookedAt.push('LIBTORCH: not set');
	if (!cuda) {
		const python = pythonTorch();
		if ('folder' in python) return { folder: python.folder, source: `Python torch ${python.version}` };
		lookedAt.push(`Python: ${python.reason}`);
	}
	const cached = cachedFolder(cuda);
	if (existsSync(join(cached, 'complete.json')) && isLibtorch(join(cached, 'torch')))
		return { folder: join(cached, 'torch'), source: 'cache' };
	lookedAt.push(`cache: not in ${cached}`);
	return { lookedAt };
}

async function sha256(file) {
	const hash = createHash('sha256');
	await pipeline(createReadStream(file), hash);
	return hash.digest('hex');
}

/** A wheel or archive is a zip: only headers, libraries and CMake files are kept. */
async function unpack(file, target) {
	mkdirSync(target, { recursive: true });
	await runCommand('python3', ['-c', unpackScript, file, target]);
}
const unpackScript = `
import sys, zipfile
keep = ("torch/include/", "torch/lib/", "torch/share/", "libtorch/include/", "libtorch/lib/", "libtorch/share/", "nvidia/")
with zipfile.ZipFile(sys.argv[1]) as archive:
    archive.extractall(sys.argv[2], [name for name in archive.namelist() if name.startswith(keep)])
`;

/** Fetches one wheel by pip, which checks it against the hash of its index, and checks our pin where there is one. */
async function fetchWheel(requirement, folder, onLine) {
	const before = new Set(existsSync(folder) ? readdirSync(folder) : []);
	await runCommand(
		'python3',
		['-m', 'pip', 'download', '--no-deps', '--disable-pip-version-check', '-d', folder, requirement],
		{
			env: { ...process.env, PIP_RETRIES: process.env.PIP_RETRIES ?? '0' },
			onLine,
		},
	);
	const file = readdirSync(folder).find((name) => name.endsWith('.whl') && !before.has(name));
	if (file === undefined) throw new SetupError(`[setup] pip download ${requirement} must give a wheel but gave none`);
	const path = join(folder, file);
	const found = await sha256(path);
	const pinned = pins.wheels[file];
	if (pinned !== undefined && pinned !== found) {
		throw new SetupError(
			`[setup] ${file} must have sha256 ${pinned} but has ${found}; it is damaged or not the published one. Nothing was installed`,
		);
	}
	return { file, path, sha256: found, pinned: pinned !== undefined };
}

/** The official archive; only with a known hash. */
async function fetchArchive(cuda, folder) {
	const { url, sha256: pinned } = variant(cuda).archives[`${process.platform}-${process.arch}`] ?? {};
	const expected = process.env.EHR_JEPA_LIBTORCH_SHA256 || pinned;
	if (url === undefined) throw new SetupError('no official archive is known for this platform');
	if (!expected)
		throw new SetupError(
			`the official archive ${url} has no pinned sha256; set EHR_JEPA_LIBTORCH_SHA256 to the published one to allow it`,
		);
	const response = await fetch(url);
	if (!response.ok || response.body === null) throw new SetupError(`${url} answered ${response.status}`);
	const path = join(folder, 'libtorch.zip');
	const { createWriteStream } = await import('node:fs');
	await pipeline(response.body, createWriteStream(path));
	const found = await sha256(path);
	if (found !== expected) throw new SetupError(`${url} must have sha256 ${expected} but has ${found}`);
	return { file: url, path, sha256: found, pinned: true };
}

/**
 * Fetches libtorch into the per-user cache. Safe against concurrent set-ups and interruption: a lock, a temporary folder,
 * one rename, a stamp written before it.
 *
 * @param {(text: string) => void} say
 * @returns {Promise<string>} The folder.
 */
export async function fetchLibtorch(cuda, lookedAt, say) {
	const target = cachedFolder(cuda);
	const { torch, extra } = variant(cuda);
	return withLock(
		`${target}.lock`,
		async () => {
			const again = findLibtorch(cuda);
			if ('folder' in again) return again.folder;
			// Left over from a set-up that was interrupted: the lock says that nobody is using them.
			for (const name of existsSync(dirname(target)) ? readdirSync(dirname(target)) : []) {
				if (name.startsWith(`${target.split('/').at(-1)}.tmp`))
					rmSync(join(dirname(target), name), { recursive: true, force: true });
			}
			const temporary = `${target}.tmp-${process.pid}`;
			mkdirSync(temporary, { recursive: true });
			try {
				const sources = [];
				try {
					for (const requirement of [`torch==${torch}`, ...extra]) {
						say(`download ${requirement}`);
						const wheel = await fetchWheel(requirement, temporary);
						sources.push(wheel);
						say(
							`unpack ${wheel.file} (sha256 ${wheel.sha256.slice(0, 12)}, ${wheel.pinned ? 'pinned' : 'checked by pip against its index; no pin of ours'})`,
						);
						await unpack(wheel.path, temporary);
						rmSync(wheel.path);
					}
				} catch (pipFailure) {
					say('pip could not provide it; trying the official archive');
					const archive = await fetchArchive(cuda, temporary).catch((archiveFailure) => {
						throw new SetupError(
							`[setup] libtorch ${torch} was not found and could not be fetched:\n${lookedAt.map((line) => `  - ${line}`).join('\n')}\n  - pip: ${pipFailure.message.split('\n').slice(0, 3).join(' ')}\n  - archive: ${archiveFailure.message}\nThe one command to run: python3 -m pip install torch==${torch}, or set LIBTORCH to a folder of libtorch`,
						);
					});
					sources.push(archive);
					await unpack(archive.path, temporary);
					rmSync(archive.path);
					renameSync(join(temporary, 'libtorch'), join(temporary, 'torch'));
				}
				if (!isLibtorch(join(temporary, 'torch')))
					throw new SetupError('[setup] what was fetched must hold include/, lib/ and share/cmake/Torch but does not');
				writeFileSync(
					join(temporary, 'complete.json'),
					`${JSON.stringify({ torch, sources: sources.map(({ file, sha256, pinned }) => ({ file, sha256, pinned })) }, undefined, '\t')}\n`,
				);
				rmSync(target, { recursive: true, force: true });
				renameSync(temporary, target);
			} catch (error) {
				rmSync(temporary, { recursive: true, force: true });
				throw error;
			}
			return join(target, 'torch');
		},
		(owner) => say(`another set-up (process ${owner ?? 'unknown'}) is fetching libtorch; waiting`),
	);
}
