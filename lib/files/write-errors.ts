import { accessSync, constants, existsSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { EhrJepaError, OutputError } from '../errors.js';
import { faultOf, unwritable } from './faults.js';

/**
 * What stopped the making of `path`, as it is to be thrown: our own errors as they are, those of the file system that are
 * the output's fault as an {@link OutputError}, any other unchanged.
 */
export function writeError(path: string, cause: unknown): unknown {
	if (cause instanceof EhrJepaError) return cause;
	const reason = unwritable[codeOf(cause as NodeJS.ErrnoException)];
	if (reason === undefined) return cause;
	return new OutputError(`[output] ${path} could not be written: ${reason}; nothing is left of it`, { cause });
}

/** What went wrong under a temporary name, told of the name that was asked for; the other is gone by then. */
export function underName(path: string, temporary: string, cause: unknown): unknown {
	if (cause instanceof Error) cause.message = cause.message.replaceAll(temporary, path);
	return writeError(path, cause);
}

function codeOf({ code = '', syscall, path }: NodeJS.ErrnoException): string {
	if (code !== 'ENOENT' || syscall !== 'mkdir' || path === undefined) return code;
	// Of a folder and those above it Node says ENOENT where the disk is read-only.
	let above = resolve(path);
	while (!existsSync(above) && dirname(above) !== above) above = dirname(above);
	try {
		accessSync(above, constants.W_OK);
	} catch (cause) {
		return (cause as NodeJS.ErrnoException).code ?? code;
	}
	return code;
}

/** As {@link writeError} where only the output can be at fault: every error of the system is an {@link OutputError}. */
export function outputError(path: string, cause: unknown): unknown {
	const error = writeError(path, cause);
	if (error instanceof EhrJepaError) return error;
	return new OutputError(`[output] ${path} could not be written: ${faultOf(cause)}`, { cause });
}
