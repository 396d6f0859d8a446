/**
 * The CUDA variant is configured, every file that it alone has is compiled, and kernels and calls are linked with
 * libtorch_cuda and loaded, without the engine: that takes a minute where the whole addon takes as long as the CPU one
 * again. Nothing is fetched for it; `EHR_JEPA_CUDA=1 npm test` runs every test with the CUDA addon.
 */
import { execFile, spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { root, scriptUrl } from '../scripts/script-modules.js';

const { findNvcc, nvccPlaces } = (await import(scriptUrl('setup/nvcc.mjs'))) as {
	findNvcc(): string | undefined;
	nvccPlaces(): string;
};
const { findLibtorch } = (await import(scriptUrl('setup/libtorch.mjs'))) as {
	findLibtorch(cuda: boolean): { readonly folder: string } | { readonly lookedAt: readonly string[] };
};
const run = promisify(execFile);

/** What the variant is built from, or why it cannot be built here. */
function parts(): { readonly nvcc: string; readonly libtorch: string } | { readonly missing: string } {
	const nvcc = findNvcc();
	if (nvcc === undefined) return { missing: `nvcc was not found (${nvccPlaces()})` };
	try {
		const found = findLibtorch(true);
		if ('folder' in found) return { nvcc, libtorch: found.folder };
		return { missing: `no CUDA libtorch (${found.lookedAt.join('; ')}); EHR_JEPA_CUDA=1 npm run setup fetches it` };
	} catch (error) {
		return { missing: (error as Error).message };
	}
}

const found = parts();
const noCmake = spawnSync('cmake', ['--version']).status === 0 ? false : 'cmake is not here';
const skip = 'missing' in found ? found.missing : noCmake;

t.test('the CUDA variant is configured, linked and loaded', { skip, timeout: 900_000 }, async (t) => {
	if ('missing' in found) return;
	const folder = join(root, 'build/cuda-check');
	const ninja = spawnSync('ninja', ['--version']).status === 0;
	// One architecture: cuda-kernels.test.ts compiles for all of them.
	const settings = [
		`-DEHR_JEPA_LIBTORCH=${found.libtorch}`,
		'-DEHR_JEPA_CUDA=ON',
		'-DEHR_JEPA_CUDA_ARCHITECTURES=90a',
		`-DEHR_JEPA_NVCC=${found.nvcc}`,
	];
	const generator = ninja ? 'Ninja' : 'Unix Makefiles';
	await run('cmake', ['-S', root, '-B', folder, '-G', generator, ...settings]);
	await run('cmake', ['--build', folder, '--target', 'ehrjepa_cuda_calls', 'ehrjepa_cuda_load', '--parallel', '2']);
	for (const EHR_JEPA_CUDA_KERNELS of ['1', '0']) {
		const env = { ...process.env, EHR_JEPA_CUDA_KERNELS };
		const { stdout } = await run(join(folder, 'ehrjepa_cuda_load'), [], { env });
		const points = [...stdout.matchAll(/^(not )?ok \d+ - (.*)$/gm)];
		t.ok(points.length > 0, 'it says what it checked');
		for (const [, failed, name] of points) t.equal(failed, undefined, name!);
		t.match(stdout, new RegExp(`^1\\.\\.${points.length}$`, 'm'), 'it ran to its end');
	}
});

t.test('no op is registered for CUDA where EHR_JEPA_CUDA_KERNELS=0 leaves it to its reference', async (t) => {
	const calls = readdirSync(join(root, 'native/ops'), { recursive: true, encoding: 'utf8' })
		.filter((path) => path.endsWith('.cpp'))
		.map((path) => ({ path, text: readFileSync(join(root, 'native/ops', path), 'utf8') }))
		.filter(({ text }) => /TORCH_LIBRARY_IMPL\(\w+, CUDA,/.test(text));
	t.ok(calls.length > 5, `${calls.length} files register kernels`);
	for (const { path, text } of calls)
		t.match(text, /TORCH_LIBRARY_IMPL\(\w+, CUDA, m\) \{\n {2}if \(!cuda_kernels_wanted\(\)\) return;/, path);
});

/** What CMake says of the CUDA variant, on one line. */
async function configured(folder: string, settings: readonly string[], env: NodeJS.ProcessEnv): Promise<string> {
	const args = ['-S', root, '-B', folder, '-DEHR_JEPA_CUDA=ON', '-DEHR_JEPA_TESTS=OFF', ...settings];
	const result = await run('cmake', args, { env }).catch((error: { stdout: string; stderr: string }) => error);
	return `${result.stdout}${result.stderr}`.replace(/\s+/g, ' ');
}

t.test('nvcc is found behind a script on PATH, behind a link and by CUDA_HOME', { skip }, async (t) => {
	if ('missing' in found) return;
	const folder = t.testdir({ script: {}, link: {}, home: {} });
	const { stderr } = await run(found.nvcc, ['--dryrun', '-c', '-x', 'cu', '/dev/null']);
	const itself = join(/^#\$ _HERE_=(.*)$/m.exec(stderr)![1]!, 'nvcc');
	writeFileSync(join(folder, 'script/nvcc'), `#!/bin/sh\nexec '${itself}' "$@"\n`, { mode: 0o755 });
	symlinkSync(itself, join(folder, 'link/nvcc'));
	const { CUDACXX: _, CUDA_HOME: __, CUDA_PATH: ___, ...env } = process.env;
	const settings = [`-DEHR_JEPA_LIBTORCH=${found.libtorch}`];
	const ways: Readonly<Record<string, NodeJS.ProcessEnv>> = {
		script: { PATH: `${join(folder, 'script')}:${process.env.PATH}` },
		link: { PATH: `${join(folder, 'link')}:${process.env.PATH}` },
		home: { CUDA_HOME: dirname(dirname(itself)) },
	};
	for (const [name, changes] of Object.entries(ways)) {
		const expected = name === 'script' ? join(folder, 'script/nvcc') : itself;
		const said = await configured(join(folder, name, 'build'), settings, { ...env, ...changes });
		t.match(said, 'Generating done', name);
		t.match(said, `(${expected})`, name);
	}
	const other = `#!/bin/sh\n[ "$1" = --version ] && echo 'release 11.8, V11.8.89' && exit 0\nexec '${itself}' "$@"\n`;
	writeFileSync(join(folder, 'other'), other, { mode: 0o755 });
	const refused = await configured(join(folder, 'build'), settings, { ...env, CUDACXX: join(folder, 'other') });
	t.match(refused, /nvcc must be of the CUDA \d+ that libtorch in .* is built for but .*other is of 11\.8/);
});

t.test(
	'a folder that is no CUDA libtorch, and an nvcc that is none, are refused by name',
	{ skip: noCmake },
	async (t) => {
		const folder = t.testdir();
		const none = join(folder, 'none');
		t.match(
			await configured(join(folder, 'a'), [`-DEHR_JEPA_LIBTORCH=${none}`], process.env),
			'must be a CUDA build of',
		);
		if ('missing' in found) return;
		const settings = [`-DEHR_JEPA_LIBTORCH=${found.libtorch}`, '-DEHR_JEPA_NVCC=/bin/false'];
		t.match(await configured(join(folder, 'b'), settings, process.env), '/bin/false must compile for the host with');
	},
);

t.test(
	"the CUDA runtime beside libtorch is linked, not the toolkit's, whatever their names",
	{ skip: noCmake },
	async (t) => {
		const folder = t.testdir();
		const name = 'libcudart.so.13';
		// In this order: the one that libtorch loads itself, then the toolkit's.
		const places = ['site/torch/lib', 'site/nvidia/cu13/lib', 'a toolkit/lib64'].map((place) => join(folder, place));
		for (const place of places) {
			mkdirSync(place, { recursive: true });
			writeFileSync(join(place, name), '');
		}
		mkdirSync(join(folder, 'a toolkit/include'));
		const script = join(folder, 'find.cmake');
		writeFileSync(
			script,
			`include("${root}/native/cmake/cuda_toolkit.cmake")
set(cuda_major 13)
set(cuda_include "${folder}/a toolkit/include")
ehrjepa_find_cuda_runtime("${folder}/site/torch" ${name})
message(STATUS "found \${cuda_runtime}")
`,
		);
		for (const place of places) {
			const { stdout } = await run('cmake', ['-P', script]);
			t.equal(resolve(/found (.*)/.exec(stdout)![1]!), join(place, name));
			rmSync(join(place, name));
		}
	},
);
