#!/usr/bin/env node
/** Formats everything that lint checks. */
import { lintAll } from './check/lint-all.mjs';

process.exitCode = lintAll({ fix: true }).every(({ passed }) => passed) ? 0 : 1;
