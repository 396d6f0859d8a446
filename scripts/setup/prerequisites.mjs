import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { SetupError } from './errors.mjs';
import { findNvcc, nvccPlaces } from './nvcc.mjs';
import { cacheFolder, root } from './paths.mjs';
import { zipReader } from './unpack.mjs';

const gibibyte = 2 ** 30;
const buildSpace = 1.2 * gibibyte;
// Wheel and unpacked files at once. CUDA: torch 2.14.1 and NVIDIA's libraries.
const libtorchSpace = { cpu: 1.2 * gibibyte, cuda: 8 * gibibyte };

const cxx20Program = `#include <concepts>
#include <span>
template <std::integral T> T first(std::span<T> values) { return values[0]; }
int main() { int zero[1] = {0}; return first(std::span<int>(zero)); }
`;

/** @param {string} command @param {readonly string[]} args */
function works(command, args) {
	return spawnSync(command, args, { stdio: 'ignore' }).status === 0;
}

/** The command that installs something on this platform. @param {Record<'apt' | 'dnf' | 'brew', string>} names */
function installCommand(names) {
	if (process.platform === 'darwin') return names.brew;
	const sudo = process.getuid?.() === 0 ? '' : 'sudo ';
	return existsSync('/usr/bin/dnf') ? `${sudo}dnf install ${names.dnf}` : `${sudo}apt-get install ${names.apt}`;
}

/** What CMake would take: CXX alone when it is set. */
export function compilerCandidates() {
	return process.env.CXX ? [process.env.CXX] : ['c++', 'g++', 'clang++'];
}

/** First compiler that makes a C++20 program, or undefined. */
export function findCompiler() {
	const folder = mkdtempSync(join(tmpdir(), 'ehr-jepa-cxx-'));
	try {
		writeFileSync(join(folder, 'probe.cpp'), cxx20Program);
		const args = ['-std=c++20', '-o', join(folder, 'probe'), join(folder, 'probe.cpp')];
		return compilerCandidates().find((compiler) => works(compiler, args));
	} finally {
		rmSync(folder, { recursive: true, force: true });
	}
}

/** @returns {[number, number] | undefined} */
function cmakeVersion() {
	const { status, stdout } = spawnSync('cmake', ['--version'], { encoding: 'utf8' });
	const match = status === 0 ? /version (\d+)\.(\d+)/.exec(stdout) : null;
	return match === null ? undefined : [Number(match[1]), Number(match[2])];
}

/** Free bytes on the file system of a path that may not exist yet; infinite where it cannot be read. @param {string} path */
function freeBytes(path) {
	let existing = path;
	while (!existsSync(existing) && dirname(existing) !== existing) existing = dirname(existing);
	try {
		const { bavail, bsize } = statfsSync(existing);
		return bavail * bsize;
	} catch {
		return Number.POSITIVE_INFINITY;
	}
}

/** @param {string} path @param {number} needed @param {string} what */
function spaceProblem(path, needed, what) {
	const free = freeBytes(path);
	const gib = (/** @type {number} */ bytes) => `${(bytes / gibibyte).toFixed(1)} GiB`;
	return free < needed ? [`${gib(needed)} of disk space for ${what} in ${path} (${gib(free)} free)`] : [];
}

function nodeProblem() {
	const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
	if (major > 20 || (major === 20 && minor >= 11)) return [];
	return [`Node.js 20.11 or newer (this is ${process.versions.node}): https://nodejs.org/en/download`];
}

/** @param {boolean} cuda */
function buildProblems(cuda) {
	const problems = [];
	if (findCompiler() === undefined) {
		const install = installCommand({ apt: 'g++', dnf: 'gcc-c++', brew: 'xcode-select --install' });
		problems.push(`a C++20 compiler (tried ${compilerCandidates().join(', ')}): ${install}`);
	}
	const cmake = cmakeVersion();
	if (cmake === undefined || cmake[0] < 3 || (cmake[0] === 3 && cmake[1] < 22)) {
		const found = cmake === undefined ? 'none in PATH' : `found ${cmake.join('.')}`;
		const install = installCommand({ apt: 'cmake', dnf: 'cmake', brew: 'brew install cmake' });
		problems.push(`CMake 3.22 or newer (${found}): ${install}`);
	}
	if (!works('ninja', ['--version']) && !works('make', ['--version'])) {
		const install = installCommand({ apt: 'ninja-build', dnf: 'ninja-build', brew: 'brew install ninja' });
		problems.push(`ninja or make: ${install}`);
	}
	if (cuda && findNvcc() === undefined) {
		problems.push(
			`nvcc of libtorch's CUDA (13 of the one that is fetched), because EHR_JEPA_CUDA=1 (${nvccPlaces()}): https://developer.nvidia.com/cuda-downloads, then set CUDA_HOME`,
		);
	}
	return problems.concat(spaceProblem(join(root, 'build'), buildSpace, 'the build'));
}

/** @param {boolean} cuda */
function fetchProblems(cuda) {
	const problems = [];
	const archiveAllowed = Boolean(process.env.EHR_JEPA_LIBTORCH_SHA256) && zipReader() !== undefined;
	if (!archiveAllowed && !works('python3', ['-m', 'pip', '--version'])) {
		const install = installCommand({ apt: 'python3-pip', dnf: 'python3-pip', brew: 'brew install python' });
		problems.push(
			`a source of libtorch: Python's pip, used to download it: ${install}; or set LIBTORCH to a folder of it`,
		);
	}
	const space = cuda ? libtorchSpace.cuda : libtorchSpace.cpu;
	return problems.concat(spaceProblem(cacheFolder(), space, 'libtorch (EHR_JEPA_CACHE moves it)'));
}

/**
 * Everything that is missing on this machine, each with the command that installs it.
 *
 * @param {{ build: boolean, fetch: boolean, cuda: boolean }} needs - What is about to be done.
 * @returns {string[]}
 */
export function missingPrerequisites({ build, fetch, cuda }) {
	return [...nodeProblem(), ...(build ? buildProblems(cuda) : []), ...(fetch ? fetchProblems(cuda) : [])];
}

/**
 * Called before anything is downloaded.
 *
 * @param {{ build: boolean, fetch: boolean, cuda: boolean }} needs
 * @throws {SetupError} Naming all that is missing at once.
 */
export function requirePrerequisites(needs) {
	const missing = missingPrerequisites(needs);
	if (missing.length === 0) return;
	const lines = missing.map((line) => `  - ${line}`).join('\n');
	throw new SetupError(`[setup] this machine must have what is listed here but lacks it:\n${lines}`);
}
