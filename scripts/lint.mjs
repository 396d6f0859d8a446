#!/usr/bin/env node
/** Checks what format.mjs formats, and what no formatter can mend; changes nothing. */
import { lintAll } from './check/lint-all.mjs';

process.exitCode = lintAll({ fix: false }).every(({ passed }) => passed) ? 0 : 1;
