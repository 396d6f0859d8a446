/** Compiles the CUDA kernels; runs nothing on a GPU. */
import { execFile } from 'node:child_process';
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';

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
}

t.test('every kernel compiles for every architecture without warnings or spills', async (t) => {
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
	for (const row of rows) {
		t.equal(row.spilledBytes, 0, `${row.kernel} ${row.architecture}: no spills`);
		// Two blocks share the 65,536 registers of a multiprocessor: attention's of 128 threads, others' of 256.
		const most = row.source.startsWith('ops/attention/') ? 255 : 128;
		t.ok(row.registers > 0 && row.registers <= most, `${row.kernel} ${row.architecture}: ${row.registers} registers`);
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
