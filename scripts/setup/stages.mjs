import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { SetupError } from './errors.mjs';
import { fetchLibtorch, findLibtorch } from './libtorch.mjs';
import { isCheckout, root } from './paths.mjs';
import { requirePrerequisites } from './prerequisites.mjs';
import { runCommand } from './run-command.mjs';
import { fingerprint, unlessDone } from './stamp.mjs';

const presets = ['release', 'debug', 'asan'];

/** One line per stage with the time it took; the line of a running stage is redrawn on a terminal. */
class StageLine {
	#started = performance.now();
	#name;
	#timer;
	#note = '';
	#loggedAt = performance.now();

	constructor(name) {
		this.#name = name;
		if (process.stderr.isTTY) this.#timer = setInterval(() => this.#draw(), 500);
		else process.stderr.write(`setup   ${name} ...\n`);
	}
	note = (text) => {
		this.#note = text;
		if (process.stderr.isTTY) return;
		// A log gets what matters, and a sign of life every ten seconds.
		const worthALine = /^(download|unpack|pip|another set-up)/.test(text);
		if (!worthALine && performance.now() - this.#loggedAt < 10_000) return;
		this.#loggedAt = performance.now();
		process.stderr.write(`${this.#text()}\n`);
	};
	end(text) {
		clearInterval(this.#timer);
		const seconds = ((performance.now() - this.#started) / 1000).toFixed(1);
		process.stderr.write(`${process.stderr.isTTY ? '\r\u001b[K' : ''}setup   ${this.#name}: ${text} (${seconds}s)\n`);
	}
	#draw() {
		process.stderr.write(`\r\u001b[K${this.#text().slice(0, (process.stderr.columns ?? 100) - 1)}`);
	}
	#text() {
		const seconds = Math.round((performance.now() - this.#started) / 1000);
		// Ninja counts its steps: [12/34] gives the time left.
		const count = /^\[(\d+)\/(\d+)\]/.exec(this.#note);
		const left =
			count && Number(count[1]) > 0
				? `, about ${Math.round((seconds * (Number(count[2]) - Number(count[1]))) / Number(count[1]))}s left`
				: '';
		return `setup   ${this.#name}: ${seconds}s${left}  ${this.#note}`;
	}
}

async function stage(name, run) {
	const line = new StageLine(name);
	try {
		line.end((await run(line.note)) ?? 'done');
	} catch (error) {
		line.end('failed');
		throw error;
	}
}

async function nodePackages() {
	if (!isCheckout()) return;
	await unlessDone('packages', fingerprint(['package-lock.json']), 'node_modules/.package-lock.json', () =>
		stage('node packages', (note) =>
			// Install scripts are not needed: binaries come inside the packages.
			runCommand('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], { cwd: root, onLine: note }).then(
				() => undefined,
			),
		),
	);
}

async function addon(preset, libtorch, cuda) {
	const inputs = fingerprint(
		['CMakeLists.txt', 'native', 'bindings', 'test/native', 'test/cases', 'bench/native', 'package.json'],
		libtorch,
		String(cuda),
	);
	const built = await unlessDone(`addon-${preset}`, inputs, `build/${preset}/ehr_jepa.node`, () =>
		stage(`addon (${preset})`, async (note) => {
			const cmakeJs = [join(root, 'node_modules/.bin/cmake-js'), join(root, '..', '.bin', 'cmake-js')].find(existsSync);
			if (cmakeJs === undefined) throw new SetupError('[setup] cmake-js must be installed but is not; run npm install');
			const args = [
				'compile',
				'--out',
				join(root, 'build', preset),
				'--parallel',
				'2',
				...(spawnSync('ninja', ['--version']).status === 0 ? ['--generator', 'Ninja'] : []),
				...(preset === 'release' ? [] : ['--debug']),
				`--CDEHR_JEPA_LIBTORCH=${libtorch}`,
				`--CDEHR_JEPA_SANITIZE=${preset === 'asan' ? 'ON' : 'OFF'}`,
				`--CDEHR_JEPA_CUDA=${cuda ? 'ON' : 'OFF'}`,
				`--CDEHR_JEPA_TESTS=${isCheckout() ? 'ON' : 'OFF'}`,
			];
			await runCommand(cmakeJs, args, { cwd: root, onLine: note });
		}),
	);
	if (built && preset === 'release') {
		// Where node-gyp's users look; and clangd wants its database at the root.
		mkdirSync(join(root, 'build', 'Release'), { recursive: true });
		copyFileSync(join(root, 'build/release/ehr_jepa.node'), join(root, 'build/Release/ehr_jepa.node'));
		if (isCheckout()) {
			rmSync(join(root, 'compile_commands.json'), { force: true });
			symlinkSync(join('build', 'release', 'compile_commands.json'), join(root, 'compile_commands.json'));
		}
	}
}

async function typescript() {
	if (!isCheckout()) return;
	await unlessDone('typescript', fingerprint(['lib', 'test', 'bench', 'tsconfig.json']), 'dist/lib/cli/main.js', () =>
		stage('TypeScript', async () => {
			await runCommand(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', root], { cwd: root });
		}),
	);
}

/**
 * Makes the checkout (or the installed package) ready: node packages, libtorch, addon, TypeScript. Each stage is skipped
 * when nothing it depends on changed.
 *
 * @param {{ preset?: string, only?: 'addon' }} [options]
 */
export async function setUp({ preset = 'release', only } = {}) {
	if (!presets.includes(preset))
		throw new SetupError(`[setup] --preset must be one of ${presets.join(', ')} but is ${preset}`);
	const cuda = process.env.EHR_JEPA_CUDA === '1';
	const found = cachedLibtorch(cuda);
	const needBuild = !existsSync(join(root, 'build', preset, 'ehr_jepa.node'));
	if (needBuild || !('folder' in found)) requirePrerequisites({ libtorchAtHand: 'folder' in found, cuda, needBuild });
	await nodePackages();
	let libtorch;
	if ('folder' in found) libtorch = found.folder;
	else {
		await stage('libtorch', async (note) => {
			libtorch = await fetchLibtorch(cuda, found.lookedAt, note);
			return `in ${libtorch}`;
		});
	}
	await addon(preset, libtorch, cuda);
	if (only !== 'addon') await typescript();
}

/** Looking for a Python torch starts Python: do it only when nothing is built yet. */
function cachedLibtorch(cuda) {
	const cache = join(root, 'build', 'release', 'CMakeCache.txt');
	if (process.env.LIBTORCH === undefined && existsSync(cache)) {
		const text = readFileSync(cache, 'utf8');
		const known = /^EHR_JEPA_LIBTORCH:\w+=(.*)$/m.exec(text)?.[1] ?? '';
		const sameVariant = new RegExp(`^EHR_JEPA_CUDA:\\w+=${cuda ? 'ON' : 'OFF'}$`, 'm').test(text);
		if (sameVariant && known !== '' && existsSync(join(known, 'share/cmake/Torch/TorchConfig.cmake')))
			return { folder: known };
	}
	return findLibtorch(cuda);
}
