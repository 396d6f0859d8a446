#!/usr/bin/env node
/**
 * Compiles every CUDA kernel for every architecture with nvcc, without libtorch on the include path, and fails on any
 * warning or register spill. Runs nothing: no GPU is needed. `--json` prints the table for machines.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cudaArchitectures, findNvcc, nvccPlaces } from './setup/nvcc.mjs';
import { root } from './setup/paths.mjs';

const nvcc = findNvcc();
if (nvcc === undefined) {
	console.log(`skipped: nvcc was not found (${nvccPlaces()})`);
	process.exit(0);
}

// As CMake does: one that this nvcc does not know is left out, and said.
const known = spawnSync(nvcc, ['--list-gpu-code'], { encoding: 'utf8' }).stdout.split(/\s+/).filter(Boolean);
const architectures = cudaArchitectures()
	.map((name) => `sm_${name}`)
	.filter((name) => {
		const knows = known.length === 0 || known.includes(name.replace(/a$/, ''));
		if (!knows) console.error(`left out: ${name}, which ${nvcc} does not know`);
		return knows;
	});
const sources = readdirSync(join(root, 'native'), { recursive: true, encoding: 'utf8' })
	.filter((name) => name.endsWith('.cu'))
	.sort();
const folder = mkdtempSync(join(tmpdir(), 'ehr-jepa-cuda-'));
/** @typedef {{ source: string, architecture: string, kernel: string, registers: number, spilledBytes: number, sharedBytes: number }} KernelRow */
/** @type {KernelRow[]} */
const rows = [];
let failed = false;
try {
	for (const source of sources) {
		for (const architecture of architectures) {
			const args = [
				'-std=c++20',
				'-O3',
				`-arch=${architecture}`,
				'-Xptxas',
				'-v',
				'-Werror',
				'all-warnings',
				'-lineinfo',
				`-I${join(root, 'native')}`,
				'-c',
				join(root, 'native', source),
				'-o',
				join(folder, 'kernel.o'),
			];
			const result = spawnSync(nvcc, args, { encoding: 'utf8' });
			if (result.status !== 0) {
				failed = true;
				console.error(`${source} for ${architecture} does not compile:\n${result.stderr}`);
				continue;
			}
			rows.push(...parse(result.stderr, source, architecture));
		}
	}
} finally {
	rmSync(folder, { recursive: true, force: true });
}

/**
 * Rows of ptxas' report: one per kernel.
 *
 * @param {string} report
 * @param {string} source
 * @param {string} architecture
 */
function parse(report, source, architecture) {
	/** @type {KernelRow[]} */
	const found = [];
	/** @type {KernelRow | undefined} */
	let row;
	for (const line of report.split('\n')) {
		const entry = /Compiling entry function '(\w+)'/.exec(line);
		if (entry) {
			row = {
				source,
				architecture,
				kernel: demangled(/** @type {string} */ (entry[1])),
				registers: 0,
				spilledBytes: 0,
				sharedBytes: 0,
			};
			found.push(row);
		}
		const spills = /(\d+) bytes spill stores, (\d+) bytes spill loads/.exec(line);
		if (spills && row) row.spilledBytes = Number(spills[1]) + Number(spills[2]);
		const used = /Used (\d+) registers/.exec(line);
		if (used && row) row.registers = Number(used[1]);
		const shared = /(\d+) bytes smem/.exec(line);
		if (shared && row) row.sharedBytes = Number(shared[1]);
	}
	return found;
}

/** @param {string} name */
function demangled(name) {
	try {
		const text = execFileSync('c++filt', [name], { encoding: 'utf8' }).trim();
		return /(\w+<[^>]*>)\(/.exec(text)?.[1] ?? text;
	} catch {
		return name;
	}
}

const spilled = rows.filter((row) => row.spilledBytes > 0);
if (process.argv.includes('--json')) console.log(JSON.stringify(rows));
else {
	console.log(`${'kernel'.padEnd(52)} ${'arch'.padEnd(7)} registers  shared  spills`);
	for (const { kernel, architecture, registers, sharedBytes, spilledBytes } of rows) {
		console.log(
			`${kernel.padEnd(52)} ${architecture.padEnd(7)} ${String(registers).padStart(9)} ${String(sharedBytes).padStart(7)} ${String(spilledBytes).padStart(7)}`,
		);
	}
}
if (spilled.length > 0) console.error(`${spilled.length} kernels spill registers`);
if (rows.length === 0 && !failed) console.error('no kernel was found');
process.exit(failed || spilled.length > 0 || rows.length === 0 ? 1 : 0);
