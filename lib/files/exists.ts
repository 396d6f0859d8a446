import { access, readdir } from 'node:fs/promises';
import { OutputError } from '../errors.js';
import { faultOf } from './faults.js';
import { isUnfinished } from './names.js';

/** Whether a file or folder is there; what is written whole is then complete. */
export async function exists(path: string): Promise<boolean> {
	return access(path).then(
		() => true,
		() => false,
	);
}

/** Refuses a name that is taken: nothing is written over. @throws {OutputError} */
export async function requireAbsent(path: string): Promise<void> {
	if (await exists(path))
		throw new OutputError(`[output] ${path} must not exist but does; choose another name or remove it`);
}

/** Refuses a folder that exists and is not empty; a lock and what a killed writer left unnamed do not count. @throws {OutputError} */
export async function requireEmptyFolder(folder: string): Promise<void> {
	let names: string[];
	try {
		names = (await readdir(folder)).filter((name) => !isUnfinished(name));
	} catch (cause) {
		if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return;
		throw new OutputError(`[output] ${folder} must be a folder that can be read but found ${faultOf(cause)}`, {
			cause,
		});
	}
	if (names.length > 0) {
		throw new OutputError(
			`[output] ${folder} must be empty or absent but holds ${names.length} entries (${names.slice(0, 3).join(', ')}); choose another folder or remove it`,
		);
	}
}
