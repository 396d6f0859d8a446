import { existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t from 'tap';
import { scriptUrl } from './script-modules.js';
import { plainEnvironment, startNode } from './script-process.js';

const { wantsCuda } = (await import(scriptUrl('setup/stages.mjs'))) as {
	wantsCuda(asked: string | undefined, stands: () => boolean): boolean;
};

/** What a function of a script answers in an environment of its own. */
async function answer(script: string, name: string, changes: NodeJS.ProcessEnv): Promise<unknown> {
	const code = `const module = await import(process.argv[1]); console.log(JSON.stringify(module[process.argv[2]]() ?? null));`;
	const args = ['--input-type=module', '-e', code, scriptUrl(script), name];
	const { stdout, stderr } = await startNode(args, plainEnvironment(changes)).ended;
	if (stdout === '') throw new Error(stderr);
	return JSON.parse(stdout);
}

function program(file: string, body: string): void {
	mkdirSync(dirname(file), { recursive: true });
	writeFileSync(file, `#!/bin/sh\n${body}\n`, { mode: 0o755 });
}

t.test('EHR_JEPA_CUDA decides; without it the variant that stands stays', async (t) => {
	const never = () => t.fail('must not be asked') as false;
	t.equal(wantsCuda('1', never), true);
	t.equal(wantsCuda('0', never), false);
	t.equal(
		wantsCuda(undefined, () => true),
		true,
	);
	t.equal(
		wantsCuda('', () => false),
		false,
	);
	t.throws(() => wantsCuda('true', never), { message: '[setup] EHR_JEPA_CUDA must be 0 or 1 but is true' });
});

t.test('nvcc is found by CUDACXX, CUDA_HOME, CUDA_PATH, PATH, and among wheels, in this order', async (t) => {
	const folder = t.testdir();
	const at = (name: string) => join(folder, name, 'bin/nvcc');
	for (const name of ['home', 'path-variable', 'in-path', 'site/nvidia/cu13']) program(at(name), 'exit 0');
	program(join(folder, 'broken/nvcc'), 'exit 1');
	const found = (changes: NodeJS.ProcessEnv) => answer('setup/nvcc.mjs', 'findNvcc', changes);
	const CUDA_HOME = join(folder, 'home');
	const CUDA_PATH = join(folder, 'path-variable');
	const PATH = `${join(folder, 'broken')}:${join(folder, 'in-path/bin')}:/usr/bin:/bin`;

	t.equal(await found({ CUDACXX: at('in-path'), CUDA_HOME, CUDA_PATH, PATH }), at('in-path'));
	t.equal(await found({ CUDACXX: join(folder, 'nowhere'), CUDA_HOME, PATH }), null, 'CUDACXX alone when it is set');
	t.equal(await found({ CUDA_HOME, CUDA_PATH, PATH }), at('home'));
	t.equal(await found({ CUDA_PATH, PATH }), at('path-variable'));
	t.equal(
		await found({ CUDA_HOME: join(folder, 'empty'), PATH }),
		at('in-path'),
		'one that does not answer is passed over',
	);

	mkdirSync(join(folder, 'links'));
	symlinkSync(at('in-path'), join(folder, 'links/nvcc'));
	t.equal(await found({ PATH: join(folder, 'links') }), at('in-path'), 'nvcc looks for its parts beside itself');

	program(join(folder, 'python/python3'), `printf 'Welcome\\n\\nehr-jepa nvidia:\\n${join(folder, 'site/nvidia')}\\n'`);
	t.equal(await found({ PATH: join(folder, 'python') }), at('site/nvidia/cu13'));
});

t.test('a card that the CPU build leaves unused is told of in one line, with the command', async (t) => {
	const folder = t.testdir();
	program(
		join(folder, 'nvidia-smi'),
		`echo 'NVIDIA H100 80GB HBM3, 580.65.06'; echo 'NVIDIA H100 80GB HBM3, 580.65.06'`,
	);
	const line = await answer('setup/gpu-card.mjs', 'cardUnused', { PATH: `${folder}:/usr/bin:/bin` });
	t.match(line, 'NVIDIA H100 80GB HBM3, driver 580.65.06');
	t.match(line, 'EHR_JEPA_CUDA=1 npm run setup');
	t.notMatch(line, '\n');

	program(join(folder, 'failing/nvidia-smi'), 'echo could not communicate with the driver; exit 9');
	const none = { PATH: `${join(folder, 'failing')}:/usr/bin:/bin`, LD_LIBRARY_PATH: folder };
	if (existsSync('/dev/nvidia0')) return t.comment('a card is here: a machine without one is not tried');
	writeFileSync(join(folder, 'libcuda.so.1'), '');
	t.match(await answer('setup/gpu-card.mjs', 'cardUnused', none), join(folder, 'libcuda.so.1'));
});
