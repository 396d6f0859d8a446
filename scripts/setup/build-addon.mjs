import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, realpathSync, rmSync, symlinkSync } from 'node:fs';
import { availableParallelism, freemem } from 'node:os';
import { join } from 'node:path';
import { SetupError } from './errors.mjs';
import { findNvcc } from './nvcc.mjs';
import { isCheckout, nodeExecutable, root } from './paths.mjs';
import { cacheVariables } from './presets.mjs';
import { stage } from './progress.mjs';
import { runCommand } from './run-command.mjs';
import { fingerprint, unlessDone } from './stamp.mjs';

const addonSources = ['CMakeLists.txt', 'CMakePresets.json', 'package.json', 'native', 'bindings'];
const testSources = ['test/native', 'test/cases', 'bench/native'];
// ATen's headers: what one compiler process takes at most.
const bytesPerJob = 1.5 * 2 ** 30;

/** One value of a CMakeCache.txt; undefined when there is none. @param {string} folder @param {string} name */
export function cmakeCacheValue(folder, name) {
	const file = join(folder, 'CMakeCache.txt');
	if (!existsSync(file)) return undefined;
	return new RegExp(`^${name}:\\w+=(.*)$`, 'm').exec(readFileSync(file, 'utf8'))?.[1];
}

/**
 * CMake keeps what it found: another libtorch, or a checkout that was moved, needs a fresh folder.
 *
 * @param {string} folder
 * @param {string} libtorch
 */
function discardForeign(folder, libtorch) {
	const known = cmakeCacheValue(folder, 'EHR_JEPA_LIBTORCH');
	const home = cmakeCacheValue(folder, 'CMAKE_HOME_DIRECTORY');
	const moved = home !== undefined && (!existsSync(home) || realpathSync(home) !== realpathSync(root));
	if (moved || (known !== undefined && known !== libtorch)) rmSync(folder, { recursive: true, force: true });
}

/**
 * @param {string} preset @param {string} libtorch @param {boolean} cuda
 * @param {string | undefined} target - Absent: all.
 * @param {(text: string) => void} note
 */
async function configureAndBuild(preset, libtorch, cuda, target, note) {
	const cmakeJs = nodeExecutable('cmake-js');
	if (cmakeJs === undefined)
		throw new SetupError('[setup] cmake-js must be in node_modules but is not; run: npm install');
	const folder = join(root, 'build', preset);
	discardForeign(folder, libtorch);
	const ninja = spawnSync('ninja', ['--version']).status === 0;
	// Not the preset's own generator: ninja may be missing, and a folder keeps the one it was made with.
	const generator = cmakeCacheValue(folder, 'CMAKE_GENERATOR') ?? (ninja ? 'Ninja' : 'Unix Makefiles');
	const jobs = Math.max(1, Math.min(availableParallelism(), Math.floor(freemem() / bytesPerJob)));
	const onOff = (/** @type {boolean} */ value) => (value ? 'ON' : 'OFF');
	const nvcc = cuda ? findNvcc() : undefined;
	/** @type {Record<string, string>} */
	const variables = {
		...cacheVariables(preset),
		EHR_JEPA_LIBTORCH: libtorch,
		EHR_JEPA_CUDA: onOff(cuda),
		...(nvcc === undefined ? {} : { EHR_JEPA_NVCC: nvcc }),
		// An installed package has no tests.
		...(isCheckout() ? {} : { EHR_JEPA_TESTS: 'OFF' }),
	};
	const debug = variables.CMAKE_BUILD_TYPE === 'Debug';
	const where = ['--out', folder, '--generator', generator, ...(debug ? ['--debug'] : [])];
	const settings = Object.entries(variables).map(([name, value]) => `--CD${name}=${value}`);
	// `binary.napi_versions` in package.json makes cmake-js take the headers of node-api-headers: nothing is downloaded.
	// Not its `compile`, which deletes the folder and starts again when a file does not compile.
	const configuration = fingerprint([], generator, ...settings);
	await unlessDone(`configure-${preset}`, configuration, join('build', preset, 'CMakeCache.txt'), () =>
		runCommand(cmakeJs, ['configure', ...where, ...settings], { cwd: root }),
	);
	const onLine = (/** @type {string} */ line) => {
		if (/^\[ *\d+[/%]/.test(line)) note(line);
	};
	const what = target === undefined ? [] : ['--target', target];
	await runCommand(cmakeJs, ['build', ...where, ...what, '--parallel', String(jobs)], { cwd: root, onLine });
}

/** Where users of node-gyp and of clangd look. */
function publishRelease() {
	const built = join(root, 'build/release/ehr_jepa.node');
	const legacy = join(root, 'build/Release');
	mkdirSync(legacy, { recursive: true });
	// The same folder on a file system that ignores case.
	if (realpathSync.native(legacy) !== realpathSync.native(join(root, 'build/release'))) {
		rmSync(join(legacy, 'ehr_jepa.node'), { force: true });
		copyFileSync(built, join(legacy, 'ehr_jepa.node'));
	}
	if (!isCheckout()) return;
	rmSync(join(root, 'compile_commands.json'), { force: true });
	symlinkSync('build/release/compile_commands.json', join(root, 'compile_commands.json'));
}

/**
 * build/<preset>/ehr_jepa.node; on request also the native tests and benchmarks, which a user does not wait for.
 *
 * @param {string} preset
 * @param {string} libtorch
 * @param {boolean} cuda
 * @param {boolean} withTests
 */
export async function buildAddon(preset, libtorch, cuda, withTests) {
	const settings = [libtorch, String(cuda)];
	await unlessDone(
		`addon-${preset}`,
		fingerprint(addonSources, ...settings),
		`build/${preset}/ehr_jepa.node`,
		async () => {
			await stage(`addon (${preset})`, (note) => configureAndBuild(preset, libtorch, cuda, 'ehr_jepa', note));
			if (preset === 'release') publishRelease();
		},
	);
	if (!withTests) return;
	const inputs = fingerprint([...addonSources, ...testSources], ...settings);
	await unlessDone(`native-tests-${preset}`, inputs, `build/${preset}/ehrjepa_test`, () =>
		stage(`native tests (${preset})`, (note) => configureAndBuild(preset, libtorch, cuda, undefined, note)),
	);
}
