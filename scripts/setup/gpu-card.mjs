import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { isCheckout } from './paths.mjs';

const driverFolders = ['/usr/lib/x86_64-linux-gnu', '/usr/lib/aarch64-linux-gnu', '/usr/lib64', '/usr/lib/wsl/lib'];

/** What shows that an NVIDIA card is here; undefined when nothing does. Loads no driver. @returns {string | undefined} */
export function cardFound() {
	const query = ['--query-gpu=name,driver_version', '--format=csv,noheader'];
	const { status, stdout } = spawnSync('nvidia-smi', query, { encoding: 'utf8', timeout: 10_000 });
	const [name, driver] = status === 0 ? (stdout.trim().split('\n')[0] ?? '').split(', ') : [];
	if (name) return `${name}${driver ? `, driver ${driver}` : ''}`;
	if (existsSync('/dev/nvidia0')) return '/dev/nvidia0';
	const libraries = [...(process.env.LD_LIBRARY_PATH ?? '').split(delimiter).filter(Boolean), ...driverFolders];
	const driverLibrary = libraries.map((folder) => join(folder, 'libcuda.so.1')).find((file) => existsSync(file));
	return driverLibrary;
}

/** One line for a machine with a card and a CPU build; undefined without a card. @returns {string | undefined} */
export function cardUnused() {
	const card = cardFound();
	if (card === undefined) return undefined;
	const command = isCheckout() ? 'npm run setup' : 'npx ehr-jepa setup';
	return `an NVIDIA card is here (${card}) but this build is for the CPU; for CUDA: EHR_JEPA_CUDA=1 ${command} (downloads 2.6 GB unless a CUDA torch is installed; docs/cuda.md says what it runs); EHR_JEPA_CUDA=0 leaves this line out`;
}
