import { fileURLToPath } from 'node:url';

/** The record lives among the sources; this file runs from dist/. */
export const recordFile = fileURLToPath(new URL('../../../test/convergence/record.json', import.meta.url));
