/** The scripts are plain JavaScript outside of dist/: loaded by path, typed here. */
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

export const root = fileURLToPath(new URL('../../../', import.meta.url));

export function scriptUrl(name: string): string {
	return pathToFileURL(join(root, 'scripts', name)).href;
}

interface LockOwner {
	readonly pid: number;
	readonly host: string;
	readonly started: string;
	readonly token: string;
}
export const { withLock } = (await import(scriptUrl('setup/cache-lock.mjs'))) as {
	withLock<T>(lock: string, work: () => Promise<T>, onWait?: (owner: LockOwner) => void): Promise<T>;
};
export const { TapCounter } = (await import(scriptUrl('check/count-tap.mjs'))) as {
	TapCounter: new () => {
		push(line: string): void;
		total(): { readonly passed: number; readonly failed: number; readonly skipped: number };
	};
};
export const { cacheVariables, presetNames } = (await import(scriptUrl('setup/presets.mjs'))) as {
	cacheVariables(name: string): Record<string, string>;
	presetNames(): string[];
};
