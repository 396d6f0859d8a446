import { DataError, EhrJepaError, OutputError } from '../errors.js';
import { writeError } from './write-errors.js';

/** Errors that come from what was named or from the state of the disk, never from a fault of ours. */
const reasons: Readonly<Record<string, readonly [value: string, fix: string]>> = {
	ENOENT: ['nothing with that name', 'check the path'],
	ENOTDIR: ['a file where a folder must be', 'check the path'],
	EISDIR: ['a folder where a file must be', 'check the path'],
	EACCES: ['no permission', 'change its permissions, or run as its owner'],
	EPERM: ['no permission', 'change its permissions, or run as its owner'],
	ELOOP: ['a symbolic link that leads to itself', 'remove the link'],
	ENAMETOOLONG: ['a name that is too long', 'choose a shorter one'],
	EEXIST: ['something with that name', 'choose another name, or remove it'],
	ENOTEMPTY: ['a folder that is not empty', 'choose another name, or remove it'],
	EMFILE: ['too many open files', 'raise the limit (ulimit -n)'],
	ENFILE: ['too many open files of the whole machine', 'end other programs, or raise fs.file-max'],
	EIO: ['an error of the device', 'copy the file to another disk'],
	ENXIO: ['a device that is not there', 'check the path'],
	ENODEV: ['a device that is not there', 'check the path'],
	ESTALE: ['a file that its network disk has lost', 'mount the disk again'],
	EBUSY: ['a file that is in use', 'end the program that uses it'],
	ETXTBSY: ['a file that is in use', 'end the program that uses it'],
	EXDEV: ['a place on another file system', 'choose one on the same disk'],
	EINVAL: ['what this file system does not allow', 'choose another disk'],
	ENOTSUP: ['what this file system does not allow', 'choose another disk'],
};

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
