#!/usr/bin/env node
/**
 * Compiles the device code of every CUDA kernel for every architecture with nvcc, without libtorch on the include path, and
 * fails on any warning, on a register spill and on a kernel that is not as native/cmake/cuda_kernels.json says. Runs nothing:
 * no GPU is needed. `--write` renews that table; `--json` prints what was found for machines.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { compileKernels } from './cuda-kernels/compile.mjs';
import { differences, tableText } from './cuda-kernels/table.mjs';
import { findNvcc, nvccPlaces, nvccVersion } from './setup/nvcc.mjs';
import { root } from './setup/paths.mjs';

const nvcc = findNvcc();
if (nvcc === undefined) {
	console.log(`skipped: nvcc was not found (${nvccPlaces()})`);
	process.exit(0);
}
const { rows, problems, complete } = compileKernels(nvcc);
for (const row of rows) {
	if (row.spilledBytes > 0) problems.push(`${row.kernel} spills ${row.spilledBytes} bytes on ${row.architecture}`);
}
if (rows.length === 0 && problems.length === 0) problems.push('no kernel was found');

const tableFile = join(root, 'native/cmake/cuda_kernels.json');
const version = nvccVersion(nvcc);
if (process.argv.includes('--write')) {
	// A table of some architectures would forget the others.
	if (problems.length === 0 && complete) writeFileSync(tableFile, tableText(rows, version));
	else problems.push('the table was not written');
} else if (rows.length > 0) {
	const table = JSON.parse(readFileSync(tableFile, 'utf8'));
	if (table.nvcc === version) problems.push(...differences(rows, table));
	else console.error(`not compared: the table is of nvcc ${table.nvcc}, and ${nvcc} is ${version}`);
}

if (process.argv.includes('--json')) console.log(JSON.stringify(rows));
else {
	console.log(
		`${'kernel'.padEnd(56)} ${'arch'.padEnd(8)} registers   shared  blocks  spills  PTX of 16 bytes and tiles`,
	);
	for (const { kernel, architecture, registers, sharedBytes, blocks, spilledBytes, instructions } of rows) {
		const numbers = [String(registers).padStart(9), String(sharedBytes).padStart(8), String(blocks).padStart(7)];
		console.log(
			[
				kernel.padEnd(56),
				architecture.padEnd(8),
				...numbers,
				String(spilledBytes).padStart(7),
				'',
				...instructions,
			].join(' '),
		);
	}
}
for (const problem of problems) console.error(problem);
process.exit(problems.length > 0 ? 1 : 0);
