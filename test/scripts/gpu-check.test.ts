/** scripts/gpu-check.sh with a torch, a CMake and programs that are only as they look to it: what it makes of what they do. */
import { execFile, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import t, { type Test } from 'tap';
import { root } from './script-modules.js';

const torch = {
	'__init__.py': `
from . import backends, cuda, utils, version
__version__ = "2.11.0+cu130"
`,
	'cuda.py': `
import os
cards = int(os.environ["CARDS"])
def is_available(): return cards > 0
def device_count(): return cards
def get_device_capability(card): return (9, 0)
def get_device_properties(card):
    from types import SimpleNamespace
    return SimpleNamespace(name="A card", major=9, minor=0, total_memory=1, multi_processor_count=2)
`,
	'version.py': 'cuda = "13.0"\n',
	'utils.py': 'import os\ncmake_prefix_path = os.path.join(os.path.dirname(__file__), "share/cmake")\n',
	'backends.py': 'class cudnn:\n    @staticmethod\n    def version(): return 92400\n',
};
const op = (name: string, agrees: boolean) =>
	`{\\"name\\": \\"${name}\\", \\"agrees\\": ${agrees}, \\"float32Error\\": 0, \\"bfloat16Error\\": 0, \\"seconds\\": 1}`;
const doctor = (ops: string, device: string) =>
	`"{\\"device\\": \\"${device}\\", \\"driver\\": \\"\\", \\"ops\\": [${ops}]}"`;

interface Machine {
	readonly cards?: number;
	/** Body of a program, in place of one that finds all well. */
	readonly programs?: Readonly<Record<string, string>>;
	readonly env?: NodeJS.ProcessEnv;
}

/** A folder that looks like a machine to the script; what it wrote, printed and ended with. */
async function check(t: Test, { cards = 0, programs = {}, env = {} }: Machine) {
	const folder = t.testdir({
		site: { torch: { ...torch, lib: { 'libtorch_cuda.so': '' }, share: { cmake: {} } } },
		bin: {},
	});
	const build = join(folder, 'build');
	const device = cards > 0 ? 'cuda:0' : 'cpu';
	const tests = (name: string) => (cards > 0 ? `ok 1 - ${name}` : `ok 1 - ${name} # SKIP no card`);
	const all: Readonly<Record<string, string>> = {
		ehrjepa_card_test: `echo '${tests('a card: an op')}'; echo 1..1`,
		ehrjepa_test: "echo 'ok 1 - a test'; echo 1..1",
		ehrjepa_doctor: `case "$*" in
  *--list*) echo ${doctor('\\"one\\", \\"two\\"', device)} ;;
  *two*) echo ${doctor(op('two', true), device)} ;;
  *) echo ${doctor(op('one', true), device)} ;;
esac`,
		ehrjepa_bench: `echo '{"rows":[]}'`,
		...programs,
	};
	const script = (path: string, text: string) => {
		writeFileSync(path, `#!/bin/sh\n${text}\n`);
		chmodSync(path, 0o755);
	};
	mkdirSync(join(build, 'cmake'), { recursive: true });
	script(join(folder, 'bin/cmake'), `echo "$@" >>'${folder}/cmake.txt'`);
	for (const [name, text] of Object.entries(all)) script(join(build, 'cmake', name), text);
	const out = join(folder, 'found.json');
	const result = await new Promise<{ status: number; stdout: string; stderr: string }>((resolve) => {
		execFile(
			'bash',
			[join(root, 'scripts/gpu-check.sh'), out],
			{
				env: {
					...process.env,
					PARTS: 'card doctor tests',
					PYTHON: python,
					...env,
					BUILD: build,
					CARDS: String(cards),
					PYTHONPATH: join(folder, 'site'),
					PYTHONDONTWRITEBYTECODE: '1',
					PATH: `${join(folder, 'bin')}${delimiter}${process.env.PATH}`,
				},
			},
			(error, stdout, stderr) => resolve({ status: Number(error?.code ?? 0), stdout, stderr }),
		);
	});
	return {
		...result,
		cmake: existsSync(join(folder, 'cmake.txt')) ? readFileSync(join(folder, 'cmake.txt'), 'utf8') : '',
		report: existsSync(out) ? JSON.parse(readFileSync(out, 'utf8')) : undefined,
	};
}

// The interpreter itself: a shim in front of it costs more than all else here.
const python = spawnSync('python3', ['-c', 'import sys; print(sys.executable)'], { encoding: 'utf8' }).stdout?.trim();
const skip = ['python3', 'bash', 'timeout', 'c++'].some((tool) => spawnSync(tool, ['--version']).status !== 0)
	? 'python3, bash, timeout or c++ is not here'
	: false;

t.test('gpu-check without a card ends with 3 and lists what was not seen', { skip }, async (t) => {
	const { status, stdout, report, cmake } = await check(t, {});
	t.equal(status, 3, stdout);
	t.match(report, {
		builtWithCuda: true,
		leftOut: ['steps', 'bench'],
		card: { skipped: 1, failed: 0 },
		tests: { passed: 1 },
	});
	t.ok(report.notChecked.parts.length > 3);
	t.match(stdout, 'NOT CHECKED, since there is no CUDA device');
	t.match(cmake, /-DEHR_JEPA_CUDA_ARCHITECTURES=$/m, 'for every architecture');
	t.match(cmake, 'ehrjepa_card_test');
});

t.test("gpu-check builds for the card's own architecture, and finds all well where all agrees", { skip }, async (t) => {
	const { status, stdout, report, cmake } = await check(t, { cards: 1 });
	t.match(cmake, /-DEHR_JEPA_CUDA_ARCHITECTURES=90a$/m);
	t.equal(report.notChecked, null);
	t.equal(status, 3, 'steps were left out');
	t.match(stdout, 'A card; built with CUDA; card: 1 passed');
});

t.test('gpu-check goes on when a kernel faults or is wrong, and names each', { skip }, async (t) => {
	const programs = {
		ehrjepa_card_test: "echo 'not ok 1 - a card: an op'; echo '# off by 3'; kill -9 $$",
		ehrjepa_doctor: `case "$*" in
  *--list*) echo ${doctor('\\"one\\", \\"two\\", \\"three\\"', 'cuda:0')} ;;
  *one*) echo 'an illegal memory access' >&2; kill -6 $$ ;;
  *two*) echo ${doctor(op('two', false), 'cuda:0')}; exit 1 ;;
  *) echo ${doctor(op('three', true), 'cuda:0')} ;;
esac`,
	};
	const { status, stdout, report } = await check(t, { cards: 1, programs });
	t.equal(status, 1);
	t.match(report.doctor.ops, [
		{ agrees: false, failed: /an illegal memory access/ },
		{ agrees: false },
		{ agrees: true },
	]);
	t.match(report.card, { failed: 1, complete: false });
	t.match(report.tests, { passed: 1, complete: true });
	t.match(stdout, 'FAILED in card: a card: an op: off by 3');
	t.match(stdout, 'DOES NOT AGREE: two');
});

t.test('gpu-check ends what outlasts its limit, and says so in the JSON', { skip }, async (t) => {
	const programs = { ehrjepa_test: "echo 'ok 1 - a test'; exec sleep 60" };
	const { status, report, stderr } = await check(t, { programs, env: { PARTS: 'tests', LIMIT: '2' } });
	t.equal(status, 1);
	t.match(stderr, /tests was broken off: LIMIT gave it 1 s/);
	t.equal(report.stages.tests.code, 124);
	t.match(report.tests, { passed: 1, complete: false });
});

t.test('gpu-check refuses parts that it does not have, and Pythons without torch', { skip }, async (t) => {
	const none = await check(t, { env: { PARTS: 'card doktor' } });
	t.equal(none.status, 2);
	t.match(none.stderr, 'but has doktor');
	const other = await check(t, { env: { PYTHON: 'true' } });
	t.equal(other.status, 2);
	t.equal(other.report, undefined);
});
