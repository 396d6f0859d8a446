import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { cudaArchitectures } from '../setup/nvcc.mjs';
import { root } from '../setup/paths.mjs';
import { dynamicSharedBytes, residentBlocks } from './occupancy.mjs';

/**
 * @typedef {object} KernelRow
 * @property {string} source
 * @property {string} architecture
 * @property {string} kernel
 * @property {number} registers - Of a thread.
 * @property {number} spilledBytes
 * @property {number} sharedBytes - Of a block, with those that its launch asks for.
 * @property {number} blocks - That a multiprocessor holds at a time.
 * @property {string[]} instructions - Which of `wanted` its PTX holds.
 */

/** What makes a kernel fast, by what its PTX says. */
const wanted = {
	mma: /\bmma\.sync\.aligned\.m16n8k16\.row\.col\.f32\.bf16\.bf16\.f32\b/,
	ldmatrix: /\bldmatrix\.sync\.aligned\.m8n8\.x4\.(trans\.)?shared\.b16\b/,
	'cp.async': /\bcp\.async\.cg\.shared\.global \[[^\]]+\], \[[^\]]+\], 16\b/,
	load16: /\bld\.global(\.\w+)*\.(v4\.[busf]32|v2\.[busf]64)\b/,
	store16: /\bst\.global(\.\w+)*\.(v4\.[busf]32|v2\.[busf]64)\b/,
};

/** Those that this nvcc knows, as CMake takes them. @param {string} nvcc */
function architecturesOf(nvcc) {
	const known = spawnSync(nvcc, ['--list-gpu-code'], { encoding: 'utf8' }).stdout.split(/\s+/).filter(Boolean);
	return cudaArchitectures()
		.map((name) => `sm_${name}`)
		.filter((name) => {
			const knows = known.length === 0 || known.includes(name.replace(/a$/, ''));
			if (!knows) console.error(`left out: ${name}, which ${nvcc} does not know`);
			return knows;
		});
}

/**
 * The device code of every `.cu` file. Not the host code around it, which the build of the addon compiles: that is half the
 * time.
 *
 * @param {string} nvcc
 * @returns {{ rows: KernelRow[], problems: string[], complete: boolean }} complete: every architecture was compiled.
 */
export function compileKernels(nvcc) {
	const architectures = architecturesOf(nvcc);
	const sources = readdirSync(join(root, 'native'), { recursive: true, encoding: 'utf8' })
		.filter((name) => name.endsWith('.cu'))
		.sort();
	const folder = mkdtempSync(join(tmpdir(), 'ehr-jepa-cuda-'));
	/** @type {KernelRow[]} */
	const rows = [];
	/** @type {string[]} */
	const problems = [];
	try {
		for (const source of sources) {
			for (const architecture of architectures) {
				const code = ['-std=c++20', '-O3', '-cubin', `-arch=${architecture}`, '-lineinfo', `-I${join(root, 'native')}`];
				const says = ['-Xptxas', '-v', '-Werror', 'all-warnings', '--keep', '--keep-dir', folder];
				const files = [join(root, 'native', source), '-o', join(folder, 'kernel.cubin')];
				const result = spawnSync(nvcc, [...code, ...says, ...files], { encoding: 'utf8' });
				const ptx = join(folder, basename(source).replace(/\.cu$/, '.ptx'));
				if (result.status !== 0) problems.push(`${source} for ${architecture} does not compile:\n${result.stderr}`);
				else
					rows.push(...rowsOf(result.stderr, existsSync(ptx) ? readFileSync(ptx, 'utf8') : '', source, architecture));
				rmSync(ptx, { force: true });
			}
		}
	} finally {
		rmSync(folder, { recursive: true, force: true });
	}
	return { rows, problems, complete: architectures.length === cudaArchitectures().length };
}

/**
 * One row for each kernel of ptxas' report.
 *
 * @param {string} report
 * @param {string} ptx
 * @param {string} source
 * @param {string} architecture
 * @returns {KernelRow[]}
 */
function rowsOf(report, ptx, source, architecture) {
	const number = (/** @type {RegExp} */ pattern, /** @type {string} */ text) => Number(pattern.exec(text)?.[1] ?? 0);
	return report
		.split(/(?=Compiling entry function ')/)
		.slice(1)
		.map((part) => {
			const symbol = /'(\w+)'/.exec(part)?.[1] ?? '';
			const kernel = demangled(symbol);
			const body = bodyOf(ptx, symbol);
			const registers = number(/Used (\d+) registers/, part);
			const sharedBytes = number(/(\d+) bytes smem/, part) + dynamicSharedBytes(kernel);
			const threads = number(/\.maxntid (\d+)/, body);
			return {
				source,
				architecture,
				kernel,
				registers,
				spilledBytes: number(/(\d+) bytes spill stores/, part) + number(/(\d+) bytes spill loads/, part),
				sharedBytes,
				blocks: residentBlocks({ architecture, registers, sharedBytes, threads }),
				instructions: Object.entries(wanted).flatMap(([name, pattern]) => (pattern.test(body) ? [name] : [])),
			};
		});
}

/** The kernel's text, from its head to its last brace. @param {string} ptx @param {string} symbol */
function bodyOf(ptx, symbol) {
	const start = ptx.indexOf(`.entry ${symbol}(`);
	if (start < 0) return '';
	const next = ptx.indexOf('.entry ', start + 1);
	return ptx.slice(start, next < 0 ? undefined : next);
}

/** `kernel<arguments>`. @param {string} symbol */
function demangled(symbol) {
	const text = (spawnSync('c++filt', [symbol], { encoding: 'utf8' }).stdout ?? '').trim();
	return /(\w+<[^()]*>)\(/.exec(text)?.[1] ?? /(\w+)\(/.exec(text)?.[1] ?? symbol;
}
