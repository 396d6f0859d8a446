import { EhrJepaError, OutputError } from '../errors.js';

/** Errors of the file system that are the output's fault. */
const unwritable: Readonly<Record<string, string>> = {
	ENOSPC: 'the disk is full',
	EDQUOT: 'the disk quota is used up',
	EFBIG: 'a file is larger than the limit on file sizes',
	EROFS: 'the file system is read-only',
	EACCES: 'permission is missing',
	EPERM: 'permission is missing',
};

/**
 * What stopped the making of `path`, as it is to be thrown: our own errors as they are, those of the file system that are
 * the output's fault as an {@link OutputError}, any other unchanged.
 */
export function writeError(path: string, cause: unknown): unknown {
	if (cause instanceof EhrJepaError) return cause;
	const reason = unwritable[(cause as NodeJS.ErrnoException).code ?? ''];
	if (reason === undefined) return cause;
	return new OutputError(`[output] ${path} could not be written: ${reason}; nothing is left of it`, { cause });
}

/** As {@link writeError} where only the output can be at fault: every error of the system is an {@link OutputError}. */
export function outputError(path: string, cause: unknown): unknown {
	const error = writeError(path, cause);
	if (error instanceof EhrJepaError) return error;
	return new OutputError(`[output] ${path} could not be written: ${(cause as Error).message}`, { cause });
}
