#!/usr/bin/env node
/** Formats everything that lint checks. */
import { lintAll } from './check/lint-all.mjs';

process.exitCode = (await lintAll({ fix: true })) === 0 ? 0 : 1;
