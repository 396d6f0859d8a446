import { DataError, EhrJepaError, OutputError } from '../errors.js';
import { reasons } from './faults.js';
import { writeError } from './write-errors.js';

/** Calls that change what is on the disk. */
const writing = /^(write|mkdir|rmdir|rename|unlink|rm|fsync|ftruncate|truncate|copyfile|symlink|utimes?|futimes?)/;

/**
 * Any error as it is told to a user: one of the file system that nobody turned into our own names what it met. Ours, and
 * those of a fault in this package, stay as they are.
 */
export function systemError(error: unknown): unknown {
	if (!(error instanceof Error) || error instanceof EhrJepaError) return error;
	const { code, syscall, path, dest }: NodeJS.ErrnoException & { readonly dest?: string } = error;
	if (code === undefined || syscall === undefined) return error;
	const file = path === undefined ? (dest ?? 'a file') : String(path);
	// A full or read-only disk stops writers alone; no permission stops readers too.
	const known = reasons[code];
	if (known === undefined) return writeError(file, error);
	const [value, fix] = known;
	if (writing.test(syscall))
		return new OutputError(`[output] ${file} must be writable but found ${value}; ${fix}`, { cause: error });
	return new DataError('files', { file, rule: 'must be readable', value, fix }, { cause: error });
}
