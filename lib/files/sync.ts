import { open, readdir } from 'node:fs/promises';
import { join } from 'node:path';

/** Waits until a file, or the list of names in a folder, is on the disk. */
export async function sync(path: string): Promise<void> {
	const handle = await open(path, 'r');
	try {
		await handle.sync();
	} finally {
		await handle.close();
	}
}

/** Waits until a folder with all that is in it is on the disk. */
export async function syncTree(folder: string): Promise<void> {
	for (const entry of await readdir(folder, { withFileTypes: true })) {
		const path = join(folder, entry.name);
		if (entry.isDirectory()) await syncTree(path);
		else if (entry.isFile()) await sync(path);
	}
	await sync(folder);
}
