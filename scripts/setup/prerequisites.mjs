import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { SetupError } from './errors.mjs';
import { cacheFolder, root } from './paths.mjs';

const gibibyte = 2 ** 30;
// libtorch as downloaded and unpacked, and the build.
const cacheSpace = 1.5 * gibibyte;
const buildSpace = 0.5 * gibibyte;

/** @param {string} command @param {readonly string[]} args */
function works(command, args) {
	return spawnSync(command, args, { stdio: 'ignore' }).status === 0;
}

/** The command that installs a package on this platform. @param {Record<'apt' | 'dnf' | 'brew', string>} names */
function install(names) {
	if (process.platform === 'darwin') return names.brew;
	if (works('dnf', ['--version'])) return `sudo dnf install ${names.dnf}`;
	return `sudo apt-get install ${names.apt}`;
}

/** First compiler that compiles a C++20 program, or undefined. */
export function findCompiler() {
	const folder = mkdtempSync(join(tmpdir(), 'ehr-jepa-cxx-'));
	try {
		const source = join(folder, 'probe.cpp');
		writeFileSync(
			source,
			'#include <span>\n#include <concepts>\ntemplate <std::integral T> T f(std::span<T> s) { return s[0]; }\nint main() { int a[1] = {0}; return f(std::span<int>(a)); }\n',
		);
		const candidates = [process.env.CXX, 'c++', 'g++', 'clang++'].filter((name) => name !== undefined && name !== '');
		return candidates.find((compiler) => works(compiler, ['-std=c++20', '-o', join(folder, 'probe'), source]));
	} finally {
		rmSync(folder, { recursive: true, force: true });
	}
}

function cmakeVersion() {
	const result = spawnSync('cmake', ['--version'], { encoding: 'utf8' });
	const match = result.status === 0 ? /(\d+)\.(\d+)/.exec(result.stdout) : null;
	return match ? [Number(match[1]), Number(match[2])] : undefined;
}

/** Free bytes on the file system of a path that may not exist yet; undefined when it cannot be read. */
function freeBytes(path) {
	let existing = path;
	while (!existsSync(existing) && dirname(existing) !== existing) existing = dirname(existing);
	try {
		const { bavail, bsize } = statfsSync(existing);
		return bavail * bsize;
	} catch {
		return undefined;
	}
}

/**
 * Everything that is missing, each with what to do about it. Nothing is downloaded before this list is empty.
 *
 * @param {{ libtorchAtHand: boolean, cuda: boolean, needBuild: boolean }} needs
 * @returns {string[]}
 */
export function missingPrerequisites({ libtorchAtHand, cuda, needBuild }) {
	const missing = [];
	const [major, minor] = process.versions.node.split('.').map(Number);
	if (major < 20 || (major === 20 && minor < 11)) {
		missing.push(`Node.js 20.11 or newer (found ${process.versions.node}): https://nodejs.org/en/download`);
	}
	if (needBuild) {
		if (findCompiler() === undefined) {
			missing.push(
				`a C++20 compiler (tried CXX, c++, g++, clang++): ${install({ apt: 'g++', dnf: 'gcc-c++', brew: 'xcode-select --install' })}`,
			);
		}
		const cmake = cmakeVersion();
		if (cmake === undefined || cmake[0] < 3 || (cmake[0] === 3 && cmake[1] < 22)) {
			const found = cmake === undefined ? 'none found' : `found ${cmake.join('.')}`;
			missing.push(
				`CMake 3.22 or newer (${found}): ${install({ apt: 'cmake', dnf: 'cmake', brew: 'brew install cmake' })}`,
			);
		}
		if (!works('ninja', ['--version']) && !works('make', ['--version'])) {
			missing.push(`make or ninja: ${install({ apt: 'ninja-build', dnf: 'ninja-build', brew: 'brew install ninja' })}`);
		}
		if (cuda && !works(process.env.CUDACXX || 'nvcc', ['--version'])) {
			missing.push(
				'nvcc of CUDA 13, because EHR_JEPA_CUDA=1: https://developer.nvidia.com/cuda-downloads, then set CUDACXX or PATH',
			);
		}
		const free = freeBytes(join(root, 'build'));
		if (free !== undefined && free < buildSpace)
			missing.push(`${gib(buildSpace)} of disk space for the build in ${root} (${gib(free)} free)`);
	}
	if (!libtorchAtHand) {
		if (!works('python3', ['-m', 'pip', '--version'])) {
			missing.push(
				`Python's pip, used as a downloader of libtorch: ${install({ apt: 'python3-pip', dnf: 'python3-pip', brew: 'brew install python' })}\n    or set LIBTORCH to a folder of libtorch 2.13 or 2.14`,
			);
		}
		const cache = cacheFolder();
		const free = freeBytes(cache);
		if (free !== undefined && free < cacheSpace)
			missing.push(
				`${gib(cacheSpace)} of disk space for libtorch in ${cache} (${gib(free)} free); EHR_JEPA_CACHE moves it`,
			);
	}
	return missing;
}

function gib(bytes) {
	return `${(bytes / gibibyte).toFixed(1)} GiB`;
}

/** @throws {SetupError} Naming all that is missing at once. */
export function requirePrerequisites(needs) {
	const missing = missingPrerequisites(needs);
	if (missing.length === 0) return;
	throw new SetupError(
		`[setup] ${missing.length} thing${missing.length === 1 ? ' is' : 's are'} missing on this machine:\n${missing.map((line) => `  - ${line}`).join('\n')}`,
	);
}
