import { accessSync, constants, existsSync } from 'node:fs';
import { dirname, sep } from 'node:path';
import { SetupError } from './errors.mjs';
import { cacheFolder } from './paths.mjs';

/** @type {Readonly<Record<string, string>>} */
const reasons = {
	EACCES: 'permission is missing',
	EPERM: 'permission is missing',
	EROFS: 'the file system is read-only',
	ENOSPC: 'the disk is full',
	EDQUOT: 'the disk quota is used up',
	EFBIG: 'a file is larger than the limit on file sizes',
	EEXIST: 'a file is in its place',
	ENOTDIR: 'a file is in the place of a folder',
	ENOENT: 'a folder above it is missing',
	ELOOP: 'a symbolic link leads to itself',
	ENAMETOOLONG: 'its name is too long',
};

/**
 * An error of the file system that set-up met where it writes, as a {@link SetupError} that says what to do; any other
 * unchanged.
 *
 * @param {unknown} error
 */
export function fileError(error) {
	if (!(error instanceof Error)) return error;
	const { code = '', path, syscall } = /** @type {NodeJS.ErrnoException} */ (error);
	const reason = reasons[code === 'ENOENT' && syscall === 'mkdir' ? (codeAbove(path) ?? code) : code];
	if (reason === undefined || path === undefined) return error;
	const cache = cacheFolder();
	const below = (/** @type {string} */ folder) =>
		`${path}${sep}`.startsWith(folder.endsWith(sep) ? folder : folder + sep);
	// A folder that cannot be made is named by itself or by one above it.
	const ofCache = below(cache) || `${cache}${sep}`.startsWith(`${path}${sep}`);
	if (ofCache) {
		const fix = 'set EHR_JEPA_CACHE to a folder that can be written to, or LIBTORCH to a libtorch that is there';
		return new SetupError(`[setup] the cache ${cache} must be a writable folder but ${path}: ${reason}; ${fix}`);
	}
	const fix = 'make the package folder writable for you, with free space, or install it in another';
	return new SetupError(`[setup] ${path} must be writable but ${reason}; ${fix}`);
}

/**
 * Why a folder and those above it cannot be made: Node says ENOENT of all of them where the disk is read-only.
 *
 * @param {string | undefined} path @returns {string | undefined}
 */
function codeAbove(path) {
	if (path === undefined) return undefined;
	let above = path;
	while (!existsSync(above) && dirname(above) !== above) above = dirname(above);
	try {
		accessSync(above, constants.W_OK);
	} catch (error) {
		return /** @type {NodeJS.ErrnoException} */ (error).code;
	}
	return undefined;
}
