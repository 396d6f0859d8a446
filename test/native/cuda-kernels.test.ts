/** Compiles the CUDA kernels; runs nothing on a GPU. */
import { execFile } from 'node:child_process';
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { scriptUrl } from '../scripts/script-modules.js';

const script = fileURLToPath(new URL('../../../scripts/check-cuda-kernels.mjs', import.meta.url));

interface Outcome {
	readonly status: number;
	readonly stdout: string;
	readonly stderr: string;
}

function run(args: readonly string[], env: NodeJS.ProcessEnv = process.env): Promise<Outcome> {
	return new Promise((resolve) => {
		const child = execFile(process.execPath, [script, ...args], { env }, (_error, stdout, stderr) => {
			resolve({ status: child.exitCode ?? 1, stdout, stderr });
		});
	});
}

interface KernelRow {
	readonly source: string;
	readonly architecture: string;
	readonly kernel: string;
	readonly registers: number;
	readonly spilledBytes: number;
	readonly sharedBytes: number;
	readonly blocks: number;
	readonly instructions: readonly string[];
}

t.test('every kernel compiles for every architecture, without warnings or spills, as the table says', async (t) => {
	const { status, stdout, stderr } = await run(['--json']);
	if (stdout.startsWith('skipped:')) {
		t.equal(status, 0);
		t.pass('kernels compile', { skip: stdout.trim() });
		return;
	}
	t.equal(status, 0, stderr);
	const rows = JSON.parse(stdout) as KernelRow[];
	const leftOut = [...stderr.matchAll(/^left out: (\w+)/gm)].map(([, name]) => name!);
	const compiled = rows.map((row) => row.architecture);
	t.same([...new Set([...compiled, ...leftOut])].sort(), ['sm_100a', 'sm_120', 'sm_80', 'sm_90a']);
	t.ok(compiled.includes('sm_80'));
	for (const { source, kernel, architecture, spilledBytes, registers, blocks, instructions } of rows) {
		const name = `${kernel} ${architecture}`;
		t.equal(spilledBytes, 0, `${name}: no spills`);
		// Two blocks share the 65,536 registers of a multiprocessor: attention's of 128 threads, others' of 256.
		const most = source.startsWith('ops/attention/') ? 255 : 128;
		t.ok(registers > 0 && registers <= most, `${name}: ${registers} registers`);
		t.ok(blocks >= 1, `${name}: ${blocks} blocks on a multiprocessor`);
		if (/^attention_(forward|query_gradient|key_gradient)_/.test(kernel))
			t.same(instructions, ['mma', 'ldmatrix', 'cp.async'], `${name}: tensor cores, tiles, copies that do not wait`);
		// Vectors of 16 bytes in their names, or never anything else.
		if (/Vector<\w+, [48]>|adamw_kernel<\w+, [48]>|rms_norm_\w+ward_kernel|swiglu/.test(kernel))
			t.ok(instructions.includes('load16'), `${name}: 16 bytes a load`);
	}
});

/** A compiler that prints `report` as ptxas does and ends with `status`. */
async function fakeNvcc(folder: string, report: string, status: number): Promise<NodeJS.ProcessEnv> {
	const compiler = join(folder, 'nvcc');
	await writeFile(
		compiler,
		`#!/bin/sh\n[ "$1" = --version ] && exit 0\ncat >&2 <<'REPORT'\n${report}\nREPORT\nexit ${status}\n`,
	);
	await chmod(compiler, 0o755);
	return { ...process.env, CUDACXX: compiler };
}

const entry = (spilled: number) => `ptxas info    : Compiling entry function '_Z6kernelv' for 'sm_80'
    0 bytes stack frame, ${spilled} bytes spill stores, ${spilled} bytes spill loads
ptxas info    : Used 17 registers, used 1 barriers, 32 bytes smem`;

t.test('a spill, a failed compilation and an empty report fail the check', async (t) => {
	const folder = t.testdir();
	const good = await run(['--json'], await fakeNvcc(folder, entry(0), 0));
	t.equal(good.status, 0, good.stderr);
	t.match(good.stderr, /^not compared: the table is of nvcc /m, 'an nvcc of another version than the table');
	t.match((JSON.parse(good.stdout) as KernelRow[])[0], { registers: 17, spilledBytes: 0, sharedBytes: 32 });

	const spills = await run([], await fakeNvcc(folder, entry(8), 0));
	t.equal(spills.status, 1);
	t.match(spills.stderr, /spill/);

	const broken = await run([], await fakeNvcc(folder, 'kernel.cu(3): error: expected a ";"', 1));
	t.equal(broken.status, 1);
	t.match(broken.stderr, /does not compile/);

	const empty = await run([], await fakeNvcc(folder, '', 0));
	t.equal(empty.status, 1);
	t.match(empty.stderr, /no kernel was found/);
});

const { differences, tableText } = (await import(scriptUrl('cuda-kernels/table.mjs'))) as {
	differences(rows: readonly KernelRow[], table: unknown): string[];
	tableText(rows: readonly KernelRow[], nvcc: string): string;
};
const { residentBlocks } = (await import(scriptUrl('cuda-kernels/occupancy.mjs'))) as {
	residentBlocks(kernel: Readonly<Record<string, unknown>>): number;
};

t.test('the table tells a kernel that is new, gone or different', async (t) => {
	const row = { source: 'a.cu', kernel: 'k<1>', architecture: 'sm_80', registers: 40, spilledBytes: 0 };
	const known: KernelRow = { ...row, sharedBytes: 64, blocks: 6, instructions: ['load16'] };
	const table = JSON.parse(tableText([known], '13.0')) as unknown;
	t.same(differences([known], table), []);
	t.match(differences([{ ...known, registers: 41 }], table)[0], /k<1> on sm_80 has \[41,.* but the table has \[40,/);
	t.match(differences([{ ...known, instructions: [] }], table)[0], /the table has \[40,64,6,"load16"\]/);
	t.equal(differences([{ ...known, kernel: 'other' }], table).length, 2);
	t.equal(differences([known, { ...known, architecture: 'sm_120' }], table).length, 1);
});

t.test('blocks of a multiprocessor by registers, shared memory and threads', async (t) => {
	const kernel = { architecture: 'sm_80', registers: 32, sharedBytes: 0, threads: 256 };
	t.equal(residentBlocks(kernel), 8, '2,048 threads');
	t.equal(residentBlocks({ ...kernel, architecture: 'sm_120' }), 6, '1,536 threads');
	t.equal(residentBlocks({ ...kernel, registers: 65 }), 3, '72 registers a thread of 65,536');
	t.equal(residentBlocks({ ...kernel, sharedBytes: 65_536 }), 2, '164 KiB, a KiB of each block reserved');
	t.equal(residentBlocks({ ...kernel, architecture: 'sm_120', sharedBytes: 65_536 }), 1, '100 KiB');
	t.equal(residentBlocks({ ...kernel, threads: 0 }), 0, 'unknown');
});
