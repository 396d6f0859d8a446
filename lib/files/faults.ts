/** Errors that come from what was named or from the state of the disk, never from a fault of ours. */
export const reasons: Readonly<Record<string, readonly [value: string, fix: string]>> = {
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

/** Errors of the file system that are the output's fault. */
export const unwritable: Readonly<Record<string, string>> = {
	ENOSPC: 'the disk is full',
	EDQUOT: 'the disk quota is used up',
	EFBIG: 'a file is larger than the limit on file sizes',
	EROFS: 'the file system is read-only',
	EACCES: 'permission is missing',
	EPERM: 'permission is missing',
};

/** What an error of the file system means, in words; of any other error its own message. */
export function faultOf(cause: unknown): string {
	const { code = '', message } = cause as NodeJS.ErrnoException;
	return reasons[code]?.[0] ?? unwritable[code] ?? message;
}
