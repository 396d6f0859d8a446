import { constants } from 'node:os';
import t from 'tap';
import { ConfigError, DataError, OutputError } from '../../../lib/errors.js';
import { systemError } from '../../../lib/files/system-errors.js';

/** As Node's file functions throw it. */
function fault(code: string, syscall: string, about: object = { path: '/data/x' }): NodeJS.ErrnoException {
	return Object.assign(new Error(`${code}: of the system, ${syscall}`), { code, syscall, ...about });
}

/** What is said of each fault when something is read and when something is written. */
const faults: Readonly<Record<string, readonly [read: RegExp, write: RegExp]>> = {
	ENOENT: [/found nothing with that name; check the path/, /found nothing with that name; check the path/],
	ENOTDIR: [/found a file where a folder must be/, /found a file where a folder must be/],
	EISDIR: [/found a folder where a file must be/, /found a folder where a file must be/],
	EACCES: [/found no permission; change its permissions/, /found no permission; change its permissions/],
	EPERM: [/found no permission; change its permissions/, /found no permission; change its permissions/],
	ELOOP: [/found a symbolic link that leads to itself; remove/, /found a symbolic link that leads to itself; remove/],
	ENAMETOOLONG: [/found a name that is too long; choose a shorter/, /found a name that is too long; choose a shorter/],
	EMFILE: [/found too many open files; raise the limit/, /found too many open files; raise the limit/],
	ENFILE: [/found too many open files/, /found too many open files/],
	EIO: [/found an error of the device/, /found an error of the device/],
	EEXIST: [/found something with that name/, /found something with that name/],
	ENOTEMPTY: [/found a folder that is not empty/, /found a folder that is not empty/],
	EBUSY: [/in use/, /in use/],
	ETXTBSY: [/in use/, /in use/],
	ESTALE: [/network/, /network/],
	ENODEV: [/device/, /device/],
	ENXIO: [/device/, /device/],
	ENOSPC: [/the disk is full/, /the disk is full/],
	EDQUOT: [/the disk quota is used up/, /the disk quota is used up/],
	EFBIG: [/larger than the limit on file sizes/, /larger than the limit on file sizes/],
	EROFS: [/the file system is read-only/, /the file system is read-only/],
	EXDEV: [/another file system/, /another file system/],
	EINVAL: [/does not allow/, /does not allow/],
	ENOTSUP: [/does not allow/, /does not allow/],
};

t.test('every fault of the system names the file, what was met and what can be done', async (t) => {
	for (const [code, [read, write]] of Object.entries(faults)) {
		t.ok(code in constants.errno, code);
		const onReading = systemError(fault(code, 'open')) as Error;
		t.ok(onReading instanceof DataError || onReading instanceof OutputError, `${code}: ${onReading.name}`);
		t.match(onReading.message, read);
		t.match(onReading.message, '/data/x');
		for (const syscall of ['mkdir', 'write', 'rename', 'fsync', 'unlink', 'copyfile']) {
			const onWriting = systemError(fault(code, syscall)) as Error;
			t.ok(onWriting instanceof OutputError, `${code} of ${syscall}`);
			t.match(onWriting.message, write);
			t.match(onWriting.message, '/data/x');
		}
		t.notMatch(onReading.message, /undefined|\bE[A-Z]{3,}\b/);
	}
});

t.test('a fault without a path still says what it is', async (t) => {
	const error = systemError(fault('EIO', 'read', {})) as Error;
	t.ok(error instanceof DataError);
	t.match(error.message, /a file/);
});

t.test('what the system did not throw stays as it is', async (t) => {
	for (const error of [new TypeError('x'), new ConfigError('[x] y'), 'text', undefined])
		t.equal(systemError(error), error);
	const unknown = Object.assign(new Error('weird'), { code: 'ERR_INVALID_ARG_TYPE' });
	t.equal(systemError(unknown), unknown);
});
