import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { scriptUrl } from './script-modules.js';
import { appearance, plainEnvironment, startNode } from './script-process.js';
import { pipMissing, wheelName, writeSmallWheel } from './small-libtorch.js';

const find = `
const { findLibtorch, fetchLibtorch } = await import(process.argv[1]);
const { reportFailure } = await import(process.argv[2]);
try {
	const found = findLibtorch(false);
	const folder = 'folder' in found ? found.folder : await fetchLibtorch(false, found.lookedAt, (text) => console.error(text));
	console.log(folder);
} catch (error) {
	reportFailure(error);
}`;

function setUpLibtorch(changes: NodeJS.ProcessEnv) {
	const modules = ['setup/libtorch.mjs', 'setup/report-failure.mjs'].map(scriptUrl);
	return startNode(['--input-type=module', '-e', find, ...modules], plainEnvironment(changes));
}

/** pip that knows the wheels of one folder and no index. */
function offlinePip(folder: string): NodeJS.ProcessEnv {
	const none = { PIP_CONFIG_FILE: '/dev/null', PIP_NO_INDEX: '1', PIP_EXTRA_INDEX_URL: '' };
	return { ...none, PIP_FIND_LINKS: join(folder, 'wheels'), EHR_JEPA_CACHE: join(folder, 'cache') };
}

/** A python3 of our own in front of the real one: it has no torch, and hangs in the middle of an unpacking on demand. */
function pythonWithoutTorch(folder: string): { readonly PATH: string; readonly halfway: string } {
	const real = spawnSync('python3', ['-c', 'import sys; print(sys.executable)'], { encoding: 'utf8' }).stdout.trim();
	const halfway = join(folder, 'halfway');
	mkdirSync(join(folder, 'bin'));
	const script = `#!/bin/sh
case "$*" in
	*find_spec*) echo; exit 0 ;;
	*extractall*)
		if [ -n "$HANG" ]; then
			mkdir -p "$4/torch/lib" && echo half > "$4/torch/lib/libtorch_cpu.so" && touch '${halfway}'
			exec sleep 60
		fi ;;
esac
exec '${real}' "$@"
`;
	writeFileSync(join(folder, 'bin/python3'), script, { mode: 0o755 });
	return { PATH: `${join(folder, 'bin')}:${process.env.PATH}`, halfway };
}

const skip = pipMissing() ?? false;
const cached = (folder: string) => join(folder, `cache/libtorch/2.13.0-cpu-${process.platform}-${process.arch}`);

t.test('LIBTORCH that is no libtorch is refused with what it lacks', async (t) => {
	const folder = t.testdir({ lib: {} });
	const { status, stderr } = await setUpLibtorch({ LIBTORCH: folder }).ended;
	t.equal(status, 5);
	t.match(stderr, 'LIBTORCH must be a folder');
	t.match(stderr, folder);
	t.match(stderr, 'share/cmake/Torch/TorchConfig.cmake');
	t.match(stderr, 'unset LIBTORCH');
});

t.test('LIBTORCH of another version or variant is refused with the one found', async (t) => {
	const libtorch = (minor: number, lib: Record<string, string>) => ({
		include: {
			ATen: { 'ATen.h': '' },
			torch: {
				headeronly: {
					'version.h': `#define TORCH_VERSION_MAJOR 2\n#define TORCH_VERSION_MINOR ${minor}\n#define TORCH_VERSION_PATCH 1\n`,
				},
			},
		},
		lib,
		share: { cmake: { Torch: { 'TorchConfig.cmake': '' } } },
	});
	const folder = t.testdir({
		old: libtorch(9, {}),
		cuda: libtorch(14, { 'libtorch_cuda.so': '' }),
		good: libtorch(14, {}),
	});
	t.match((await setUpLibtorch({ LIBTORCH: join(folder, 'old') }).ended).stderr, 'is version 2.9.1, not 2.11 to 2.14');
	t.match((await setUpLibtorch({ LIBTORCH: join(folder, 'cuda') }).ended).stderr, 'is a CUDA build');
	t.equal((await setUpLibtorch({ LIBTORCH: join(folder, 'good') }).ended).stdout, `${join(folder, 'good')}\n`);
});

t.test('a python3 that prints a banner is asked all the same', async (t) => {
	const version = '#define TORCH_VERSION_MAJOR 2\n#define TORCH_VERSION_MINOR 13\n#define TORCH_VERSION_PATCH 0\n';
	const folder = t.testdir({
		torch: {
			'__init__.py': '',
			include: { ATen: { 'ATen.h': '' }, torch: { headeronly: { 'version.h': version } } },
			lib: {},
			share: { cmake: { Torch: { 'TorchConfig.cmake': '' } } },
		},
		bin: {},
	});
	const real = spawnSync('python3', ['-c', 'import sys; print(sys.executable)'], { encoding: 'utf8' }).stdout.trim();
	const banner = `#!/bin/sh\necho 'Welcome to the cluster'\nPYTHONPATH='${folder}' exec '${real}' "$@"\n`;
	writeFileSync(join(folder, 'bin/python3'), banner, { mode: 0o755 });
	const env = { PATH: `${join(folder, 'bin')}:${process.env.PATH}`, EHR_JEPA_CACHE: join(folder, 'cache') };
	const { stdout, stderr } = await setUpLibtorch(env).ended;
	t.equal(stdout, `${join(folder, 'torch')}\n`, stderr);
});

t.test('PIP_REQUIRE_VIRTUALENV guards against installing, and a download installs nothing', { skip }, async (t) => {
	const folder = t.testdir();
	writeSmallWheel(join(folder, 'wheels'));
	const env = { ...offlinePip(folder), PATH: pythonWithoutTorch(folder).PATH, PIP_REQUIRE_VIRTUALENV: '1' };
	const { stdout, stderr } = await setUpLibtorch(env).ended;
	t.equal(stdout, `${join(cached(folder), 'torch')}\n`, stderr);
});

t.test('a cache that cannot be written to is named, with what to do', async (t) => {
	const folder = t.testdir({ file: '', home: {}, bin: {} });
	// No libtorch is found, so that the cache is needed.
	writeFileSync(join(folder, 'bin/python3'), '#!/bin/sh\nexit 1\n', { mode: 0o755 });
	const PATH = `${join(folder, 'bin')}:${process.env.PATH}`;
	const refused = async (changes: NodeJS.ProcessEnv, cache: string) => {
		const { status, stderr } = await setUpLibtorch({ PATH, ...changes }).ended;
		t.equal(status, 5, stderr);
		t.match(stderr, `SetupError (EHR_JEPA_SETUP): [setup] the cache ${cache} must be a writable folder but `);
		t.match(stderr, '; set EHR_JEPA_CACHE to a folder that can be written to');
		t.notMatch(stderr, /^ +at /m);
		return stderr;
	};
	await refused({ EHR_JEPA_CACHE: join(folder, 'file') }, join(folder, 'file'));
	await refused({ EHR_JEPA_CACHE: join(folder, 'file/below') }, join(folder, 'file/below'));
	const home = join(folder, 'home');
	const makeWritable = makeReadOnly(home);
	if (makeWritable === undefined) {
		t.comment('mounting is not allowed here: a read-only home is not tried');
		return;
	}
	try {
		const message = await refused({ HOME: home, XDG_CACHE_HOME: '' }, join(home, '.cache/ehr-jepa'));
		t.match(message, /the file system is read-only|permission is missing/);
	} finally {
		// Before tap removes the folder.
		makeWritable();
	}
});

/** @returns What makes the folder writable again; undefined where it cannot be made read-only. */
function makeReadOnly(folder: string): (() => void) | undefined {
	if (process.getuid?.() !== 0) {
		chmodSync(folder, 0o500);
		return () => chmodSync(folder, 0o700);
	}
	// Permissions do not bind root, a read-only mount does.
	const mount = (...args: string[]) => spawnSync('mount', [...args, folder], { stdio: 'ignore' }).status === 0;
	if (!mount('--bind', folder)) return undefined;
	const unmount = () => void spawnSync('umount', [folder]);
	if (mount('-o', 'remount,bind,ro')) return unmount;
	unmount();
	return undefined;
}

t.test('pip fetches it once; what was fetched is recorded', { skip }, async (t) => {
	const folder = t.testdir();
	writeSmallWheel(join(folder, 'wheels'));
	const env = { ...offlinePip(folder), PATH: pythonWithoutTorch(folder).PATH };
	const both = await Promise.all([setUpLibtorch(env).ended, setUpLibtorch(env).ended]);
	const expected = join(cached(folder), 'torch');
	for (const { stdout, stderr } of both) t.equal(stdout, `${expected}\n`, stderr);
	const downloads = both.filter(({ stderr }) => stderr.includes('pip download'));
	t.equal(downloads.length, 1, 'two set-ups at once download once');
	const record = JSON.parse(readFileSync(join(cached(folder), 'libtorch.json'), 'utf8'));
	t.match(record, { torch: '2.13.0', sources: [{ file: wheelName, sha256: /^[0-9a-f]{64}$/, checked: 'index' }] });
	t.notOk(existsSync(join(expected, '__init__.py')), 'headers, libraries and CMake files only');
	t.same(readdirSync(join(folder, 'cache/libtorch')).length, 1, 'nothing is left beside it');
});

t.test('killed while unpacking: nothing looks whole, and the next run works', { skip }, async (t) => {
	const folder = t.testdir();
	writeSmallWheel(join(folder, 'wheels'));
	const { PATH, halfway } = pythonWithoutTorch(folder);
	const env = { ...offlinePip(folder), PATH };
	const { child, ended } = setUpLibtorch({ ...env, HANG: '1' });
	await appearance(halfway);
	child.kill('SIGKILL');
	t.equal((await ended).signal, 'SIGKILL');
	t.notOk(existsSync(cached(folder)));
	t.ok(
		readdirSync(join(folder, 'cache/libtorch')).some((name) => name.includes('.partial-')),
		'the half is under another name',
	);
	const again = await setUpLibtorch(env).ended;
	t.equal(again.stdout, `${join(cached(folder), 'torch')}\n`, again.stderr);
	t.equal(readFileSync(join(cached(folder), 'torch/lib/libtorch_cpu.so'), 'utf8').length, 100_000);
	t.notOk(
		readdirSync(join(folder, 'cache/libtorch')).some((name) => name.includes('.partial-')),
		'the half is gone',
	);
});

t.test('a cache without its stamp is fetched again', { skip }, async (t) => {
	const folder = t.testdir();
	writeSmallWheel(join(folder, 'wheels'));
	mkdirSync(join(cached(folder), 'torch/lib'), { recursive: true });
	const env = { ...offlinePip(folder), PATH: pythonWithoutTorch(folder).PATH };
	const { stdout, stderr } = await setUpLibtorch(env).ended;
	t.equal(stdout, `${join(cached(folder), 'torch')}\n`, stderr);
	t.ok(existsSync(join(cached(folder), 'complete')));
});

t.test('nothing found: one message with every place and the command to run; nothing is left', { skip }, async (t) => {
	const folder = t.testdir({ wheels: {} });
	const env = { ...offlinePip(folder), PATH: pythonWithoutTorch(folder).PATH };
	const { status, stdout, stderr } = await setUpLibtorch(env).ended;
	t.equal(status, 5);
	t.equal(stdout, '');
	for (const place of [
		'LIBTORCH: not set',
		'Python:',
		`cache: not in ${cached(folder)}`,
		'pip:',
		'official archive:',
	]) {
		t.match(stderr, place);
	}
	t.match(stderr, 'Run: python3 -m pip install torch==2.13.0');
	t.same(readdirSync(join(folder, 'cache/libtorch')), []);
});

t.test('a wheel whose headers are of another version is refused', { skip }, async (t) => {
	const folder = t.testdir();
	writeSmallWheel(join(folder, 'wheels'), '2.12.1');
	const env = { ...offlinePip(folder), PATH: pythonWithoutTorch(folder).PATH };
	const { status, stderr } = await setUpLibtorch(env).ended;
	t.equal(status, 5);
	t.match(stderr, 'must give torch 2.13.0 but gave 2.12.1');
	t.same(readdirSync(join(folder, 'cache/libtorch')), []);
});
