import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { SetupError } from './errors.mjs';
import { runCommand } from './run-command.mjs';

// Of a wheel (torch/, nvidia/) or of the official archive (libtorch/); the rest is Python.
const kept = ['include', 'lib', 'share'].flatMap((part) => [`torch/${part}/`, `libtorch/${part}/`]).concat('nvidia/');

const pythonUnpack = `
import sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as archive:
    names = [name for name in archive.namelist() if name.startswith(tuple(sys.argv[3:]))]
    archive.extractall(sys.argv[2], names)
`;

/** @param {string} command @param {readonly string[]} args */
function works(command, args) {
	return spawnSync(command, args, { stdio: 'ignore' }).status === 0;
}

/** Program that can read a zip, or undefined. */
export function zipReader() {
	if (works('python3', ['-c', 'import zipfile'])) return 'python3';
	return works('unzip', ['-v']) ? 'unzip' : undefined;
}

/**
 * Unpacks headers, libraries and CMake files of a zip (every wheel is one); other files of it are left out.
 *
 * @param {string} file
 * @param {string} target - Folder; made when missing.
 */
export async function unpack(file, target) {
	mkdirSync(target, { recursive: true });
	const reader = zipReader();
	if (reader === 'python3') await runCommand('python3', ['-c', pythonUnpack, file, target, ...kept]);
	else if (reader === 'unzip') {
		// 11: some of the patterns matched nothing, as they must: a zip has torch/ or libtorch/, never both.
		await runCommand('sh', [
			'-c',
			'unzip -q -o "$@" || [ $? -eq 11 ]',
			'sh',
			file,
			...kept.map((prefix) => `${prefix}*`),
			'-d',
			target,
		]);
	} else throw new SetupError('[setup] python3 or unzip must be installed to unpack libtorch but neither is');
}
