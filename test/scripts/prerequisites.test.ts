import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { root, scriptUrl } from './script-modules.js';
import { plainEnvironment, startNode } from './script-process.js';

const require = `
const { requirePrerequisites } = await import(process.argv[1]);
const { reportFailure } = await import(process.argv[2]);
try {
	requirePrerequisites(JSON.parse(process.argv[3]));
	console.log('all there');
} catch (error) {
	reportFailure(error);
}`;

function check(needs: object, changes: NodeJS.ProcessEnv) {
	const modules = ['setup/prerequisites.mjs', 'setup/report-failure.mjs'].map(scriptUrl);
	const args = ['--input-type=module', '-e', require, ...modules, JSON.stringify(needs)];
	return startNode(args, plainEnvironment(changes)).ended;
}

const everything = { build: true, fetch: true, cuda: true };

t.test('all that is missing is named at once, each with what installs it', async (t) => {
	const empty = t.testdir();
	const { status, stderr, stdout } = await check(everything, { PATH: empty, CUDACXX: join(empty, 'nvcc') });
	t.equal(status, 5, 'exit code of a missing prerequisite');
	t.equal(stdout, '');
	for (const name of ['C++20 compiler', 'CMake 3.22', 'ninja or make', "Python's pip", 'nvcc']) t.match(stderr, name);
	for (const line of stderr.split('\n').filter((text) => text.startsWith('  - '))) {
		t.match(line, /install|https:|disk space/, 'a way out');
	}
	t.notMatch(stderr, / at .*\.mjs:/, 'no stack');
});

t.test('what is not about to be done needs nothing', async (t) => {
	const { status, stdout } = await check({ build: false, fetch: false, cuda: true }, { PATH: t.testdir() });
	t.equal(status, 0);
	t.match(stdout, 'all there');
});

t.test('a compiler is tried, not believed: CXX that cannot compile C++20, and a CMake that is too old', async (t) => {
	const folder = t.testdir();
	const program = (name: string, body: string) => {
		writeFileSync(join(folder, name), `#!/bin/sh\n${body}\n`, { mode: 0o755 });
	};
	program('old-c++', 'exit 1');
	program('cmake', 'echo cmake version 3.16.3');
	program('ninja', 'exit 0');
	const { status, stderr } = await check(
		{ ...everything, fetch: false, cuda: false },
		{ PATH: folder, CXX: 'old-c++' },
	);
	t.equal(status, 5);
	t.match(stderr, 'C++20 compiler (tried old-c++)');
	t.match(stderr, 'found 3.16');
	t.notMatch(stderr, 'ninja or make');
});

t.test('npm run setup stops before it downloads or writes anything', async (t) => {
	const folder = t.testdir();
	const cache = join(folder, 'cache');
	mkdirSync(cache);
	const env = plainEnvironment({ PATH: join(folder, 'nothing'), EHR_JEPA_CACHE: cache });
	const script = join(root, 'scripts/setup.mjs');
	// A preset that nobody has built: the last build of another one does not count.
	const { status, stderr } = await startNode([script, 'build', '--preset', 'nonsense'], env).ended;
	t.equal(status, 5);
	t.match(stderr, '--preset must be one of release, debug, asan but is nonsense');
	t.same(readdirSync(cache), []);
});

t.test('a misspelt option is a usage error', async (t) => {
	const { status, stderr } = await startNode([join(root, 'scripts/setup.mjs'), '--pre'], plainEnvironment({})).ended;
	t.equal(status, 2);
	t.match(stderr, 'usage: setup');
});
