import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { basename, delimiter, join, resolve } from 'node:path';
import { root } from './paths.mjs';

/** Architectures that kernels are compiled for: '80', '90a' … CMake reads the same list. @returns {string[]} */
export function cudaArchitectures() {
	return readFileSync(join(root, 'native/cmake/cuda_architectures.txt'), 'utf8').trim().split('\n');
}

/** nvcc of nvidia-* wheels: `nvidia/cu13/bin/nvcc` in a folder of Python packages. @returns {string[]} */
function wheelCompilers() {
	// A python3 that prints a banner prints it before: the answer has a mark.
	const script =
		'import importlib.util as u; s = u.find_spec("nvidia"); print("\\nehr-jepa nvidia:", *(s.submodule_search_locations if s else []), sep="\\n")';
	const { status, stdout } = spawnSync('python3', ['-c', script], { encoding: 'utf8' });
	if (status !== 0) return [];
	const folders = stdout.split('ehr-jepa nvidia:\n')[1]?.split('\n').filter(Boolean) ?? [];
	return folders
		.filter(existsSync)
		.flatMap((folder) => readdirSync(folder).map((name) => join(folder, name, 'bin/nvcc')));
}

/** Where nvcc is looked for, in words. */
export function nvccPlaces() {
	const { CUDACXX } = process.env;
	if (CUDACXX) return `CUDACXX is ${CUDACXX}`;
	return 'looked at CUDACXX, CUDA_HOME, CUDA_PATH, PATH, nvidia-* wheels of python3, /usr/local/cuda';
}

/** nvcc looks for its parts beside the path it is called by; where a link leads to something else, to ccache, it stays. */
function withoutLinks(/** @type {string | undefined} */ file) {
	const itself = file === undefined ? undefined : realpathSync(file);
	return itself !== undefined && basename(itself) === 'nvcc' ? itself : file;
}

/**
 * The first nvcc that answers, as an absolute path; undefined when there is none. CUDACXX alone when it is set.
 *
 * @returns {string | undefined}
 */
export function findNvcc() {
	const { CUDACXX, CUDA_HOME, CUDA_PATH, PATH = '' } = process.env;
	const inPath = (/** @type {string} */ name) =>
		PATH.split(delimiter)
			.filter(Boolean)
			.map((folder) => join(folder, name));
	const answers = (/** @type {string} */ file) =>
		existsSync(file) && spawnSync(file, ['--version'], { stdio: 'ignore' }).status === 0;
	if (CUDACXX) return withoutLinks((CUDACXX.includes('/') ? [resolve(CUDACXX)] : inPath(CUDACXX)).find(answers));
	const homes = [CUDA_HOME, CUDA_PATH].flatMap((home) => (home ? [join(home, 'bin/nvcc')] : []));
	const first = [...homes, ...inPath('nvcc')].find(answers);
	return withoutLinks(first ?? [...wheelCompilers(), '/usr/local/cuda/bin/nvcc'].find(answers));
}

/** "13.0"; empty when it does not say. @param {string} nvcc */
export function nvccVersion(nvcc) {
	return /release (\S+),/.exec(spawnSync(nvcc, ['--version'], { encoding: 'utf8' }).stdout)?.[1] ?? '';
}
