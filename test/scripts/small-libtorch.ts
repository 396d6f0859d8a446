/** A wheel that pip accepts as torch and CMake's checks as libtorch, of a few hundred bytes. */
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

export const wheelName = 'torch-2.13.0+cpu-py3-none-any.whl';

/** Why the tests with pip cannot run here; undefined when they can. */
export function pipMissing(): string | undefined {
	const works = spawnSync('python3', ['-m', 'pip', '--version'], { stdio: 'ignore' }).status === 0;
	return works ? undefined : 'python3 with pip is not installed';
}

/** Writes the wheel into a folder, which `PIP_FIND_LINKS` can name. `version` is the one that the headers say. */
export function writeSmallWheel(folder: string, version = '2.13.0'): void {
	mkdirSync(folder, { recursive: true });
	const [major, minor, patch] = version.split('.');
	const header = `#define TORCH_VERSION_MAJOR ${major}\n#define TORCH_VERSION_MINOR ${minor}\n#define TORCH_VERSION_PATCH ${patch}\n`;
	const info = 'torch-2.13.0+cpu.dist-info';
	const files = {
		'torch/__init__.py': 'raise ImportError("not for import")\n',
		'torch/include/ATen/ATen.h': '',
		'torch/include/torch/headeronly/version.h': header,
		'torch/lib/libtorch_cpu.so': 'x'.repeat(100_000),
		'torch/share/cmake/Torch/TorchConfig.cmake': '',
		[`${info}/METADATA`]: 'Metadata-Version: 2.1\nName: torch\nVersion: 2.13.0+cpu\n',
		[`${info}/WHEEL`]: 'Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n',
		[`${info}/RECORD`]: '',
	};
	const script = `
import json, sys, zipfile
with zipfile.ZipFile(sys.argv[1], "w") as archive:
    for name, text in json.loads(sys.argv[2]).items():
        archive.writestr(name, text)
`;
	const { status, stderr } = spawnSync('python3', ['-c', script, join(folder, wheelName), JSON.stringify(files)], {
		encoding: 'utf8',
	});
	if (status !== 0) throw new Error(stderr);
}
