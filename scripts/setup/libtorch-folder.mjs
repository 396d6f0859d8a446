import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const parts = ['include/ATen/ATen.h', 'lib', 'share/cmake/Torch/TorchConfig.cmake'];

/** What a folder lacks of libtorch as CMake needs it; empty when it is whole. @param {string} folder */
export function missingParts(folder) {
	return parts.filter((part) => !existsSync(join(folder, part)));
}

/** '2.13.0', read from the headers; undefined when they do not say. @param {string} folder */
export function versionOf(folder) {
	try {
		const header = readFileSync(join(folder, 'include/torch/headeronly/version.h'), 'utf8');
		const numbers = ['MAJOR', 'MINOR', 'PATCH'].map(
			(name) => new RegExp(`TORCH_VERSION_${name} (\\d+)`).exec(header)?.[1],
		);
		return numbers.includes(undefined) ? undefined : numbers.join('.');
	} catch {
		return undefined;
	}
}

/** Versions that the core is written against. @param {string | undefined} version */
export function isSupported(version) {
	return version !== undefined && /^2\.1[1-4]\./.test(version);
}

/** A CUDA build cannot be linked without the CUDA toolkit, whatever of it is used. @param {string} folder */
export function isCudaBuild(folder) {
	return existsSync(join(folder, 'lib/libtorch_cuda.so'));
}

/**
 * Why a folder cannot be used; undefined when it can.
 *
 * @param {string} folder
 * @param {boolean} cuda - Whether the CUDA kernels are to be built.
 */
export function whyUnusable(folder, cuda) {
	const missing = missingParts(folder);
	if (missing.length > 0) return `has no ${missing.join(', ')}`;
	const version = versionOf(folder);
	if (!isSupported(version)) return `is version ${version ?? 'unknown'}, not 2.11 to 2.14`;
	if (cuda && !isCudaBuild(folder)) return `(${version}) is a CPU build, and EHR_JEPA_CUDA=1 asks for CUDA`;
	if (!cuda && isCudaBuild(folder)) return `(${version}) is a CUDA build, which EHR_JEPA_CUDA=1 is needed for`;
	return undefined;
}
