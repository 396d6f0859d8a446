import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { withLock } from '../folder-lock.mjs';
import { buildAddon, cmakeCacheValue } from './build-addon.mjs';
import { SetupError } from './errors.mjs';
import { cardUnused } from './gpu-card.mjs';
import { fetchLibtorch, findLibtorch } from './libtorch.mjs';
import { missingParts } from './libtorch-folder.mjs';
import { isCheckout, root } from './paths.mjs';
import { requirePrerequisites } from './prerequisites.mjs';
import { presetNames } from './presets.mjs';
import { stage } from './progress.mjs';
import { runCommand } from './run-command.mjs';
import { fingerprint, unlessDone } from './stamp.mjs';

/** npm writes node_modules/.package-lock.json last; it is older than the lock file when that changed since. */
async function nodePackages() {
	const installed = statSync(join(root, 'node_modules/.package-lock.json'), { throwIfNoEntry: false });
	const wanted = statSync(join(root, 'package-lock.json'));
	if (installed !== undefined && installed.mtimeMs >= wanted.mtimeMs) return;
	// Install scripts are not needed: the binaries come inside the packages.
	const args = ['ci', '--ignore-scripts', '--no-audit', '--no-fund'];
	await stage('node packages', () => runCommand('npm', args, { cwd: root }));
}

/** @param {string} folder @param {boolean} cuda */
function isOfVariant(folder, cuda) {
	return cmakeCacheValue(folder, 'EHR_JEPA_CUDA') === (cuda ? 'ON' : 'OFF');
}

/**
 * The libtorch of the last build stays in use while it is there: looking again could find another one and rebuild.
 *
 * @param {string} preset
 * @param {boolean} cuda
 */
function libtorchOfLastBuild(preset, cuda) {
	if (process.env.LIBTORCH) return undefined;
	const folder = join(root, 'build', preset);
	const libtorch = cmakeCacheValue(folder, 'EHR_JEPA_LIBTORCH');
	return libtorch !== undefined && isOfVariant(folder, cuda) && missingParts(libtorch).length === 0
		? libtorch
		: undefined;
}

/**
 * Which variant to build. Without a word from the user the one that stands stays: `EHR_JEPA_CUDA=1 npm run setup` and then
 * `npm start` use the same addon.
 *
 * @param {string | undefined} asked - EHR_JEPA_CUDA.
 * @param {() => boolean} stands - Whether an addon for CUDA is built and whole.
 * @throws {SetupError}
 */
export function wantsCuda(asked, stands) {
	if (asked === '1' || asked === '0') return asked === '1';
	if (asked) throw new SetupError(`[setup] EHR_JEPA_CUDA must be 0 or 1 but is ${asked}`);
	return stands();
}

/** With its libtorch: a missing one of 2.6 GB is not fetched without being asked for. @param {string} preset */
function cudaAddonStands(preset) {
	return existsSync(join(root, 'build', preset, 'ehr_jepa.node')) && libtorchOfLastBuild(preset, true) !== undefined;
}

/** @param {string} preset @param {boolean} cuda @param {boolean} withTests */
async function addonWithLibtorch(preset, cuda, withTests) {
	const known = libtorchOfLastBuild(preset, cuda);
	const found = known === undefined ? findLibtorch(cuda) : { folder: known };
	const fetch = !('folder' in found);
	const folder = join(root, 'build', preset);
	const build = !existsSync(join(folder, 'ehr_jepa.node')) || !isOfVariant(folder, cuda);
	if (build || fetch) requirePrerequisites({ build, fetch, cuda });
	if (isCheckout()) await nodePackages();
	const libtorch = fetch ? await stage('libtorch', (note) => fetchLibtorch(cuda, found.lookedAt, note)) : found.folder;
	await buildAddon(preset, libtorch, cuda, withTests && isCheckout());
}

/** dist/, with the types checked; files with type errors are written all the same. */
export async function buildTypeScript() {
	await unlessDone('typescript', fingerprint(['lib', 'test', 'bench', 'tsconfig.json']), 'dist/lib/cli/main.js', () =>
		stage('TypeScript', () =>
			runCommand(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', root], { cwd: root }),
		),
	);
}

/**
 * Makes a checkout (or an installed package) ready: node packages, libtorch, addon, TypeScript. A stage is skipped when
 * nothing it depends on changed. One set-up at a time runs in a checkout.
 *
 * @param {{ preset?: string, only?: 'addon', nativeTests?: boolean }} [options] - `nativeTests`: and benchmarks.
 * @throws {SetupError}
 */
export async function setUp({ preset = 'release', only, nativeTests = false } = {}) {
	if (!presetNames().includes(preset)) {
		throw new SetupError(`[setup] --preset must be one of ${presetNames().join(', ')} but is ${preset}`);
	}
	const { EHR_JEPA_CUDA: asked } = process.env;
	const cuda = wantsCuda(asked, () => cudaAddonStands(preset));
	const line = cuda || asked ? undefined : cardUnused();
	if (line !== undefined) process.stderr.write(`setup  ${line}\n`);
	await withLock(
		join(root, 'build/setup.lock'),
		async () => {
			await addonWithLibtorch(preset, cuda, nativeTests);
			if (only !== 'addon' && isCheckout()) await buildTypeScript();
		},
		({ pid, host }) =>
			process.stderr.write(`setup  process ${pid} on ${host} is setting up this folder; waiting for it\n`),
	);
}
