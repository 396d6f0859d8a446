import { readFileSync } from 'node:fs';

/** Version of this package; package.json is its only home. */
export const packageVersion: string = JSON.parse(
	readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
).version;
