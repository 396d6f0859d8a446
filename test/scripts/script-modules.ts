/** The scripts are plain JavaScript outside of dist/: loaded by path, typed here. */
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

export const root = fileURLToPath(new URL('../../../', import.meta.url));

export function scriptUrl(name: string): string {
	return pathToFileURL(join(root, 'scripts', name)).href;
}

export { withLock } from '#folder-lock';
export const { TapCounter } = (await import(scriptUrl('check/count-tap.mjs'))) as {
	TapCounter: new () => {
		push(line: string): void;
		total(): {
			readonly passed: number;
			readonly failed: number;
			readonly skipped: number;
			readonly failures: readonly string[];
		};
	};
};
export const { cacheVariables, presetNames } = (await import(scriptUrl('setup/presets.mjs'))) as {
	cacheVariables(name: string): Record<string, string>;
	presetNames(): string[];
};
