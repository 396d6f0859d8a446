#!/usr/bin/env node
/** Biome for TypeScript and JavaScript, clang-format for C++ and CUDA; changes nothing. */
import { lintAll } from './check/lint-all.mjs';

process.exitCode = lintAll({ fix: false }).every(({ passed }) => passed) ? 0 : 1;
