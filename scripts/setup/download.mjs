import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { SetupError } from './errors.mjs';
import { runCommand } from './run-command.mjs';

/** @typedef {{ file: string, path: string, sha256: string, checked: 'pinned' | 'index' | 'given' }} Download */

/** @param {string} file */
async function sha256Of(file) {
	const hash = createHash('sha256');
	await pipeline(createReadStream(file), hash);
	return hash.digest('hex');
}

/**
 * Fetches one wheel by pip, which checks it against the hash of its index; then against our pin where there is one.
 *
 * @param {string} requirement - As for `pip download`.
 * @param {string} folder - Empty or missing.
 * @param {{ pins: Readonly<Record<string, string>>, extraIndex?: string, onLine?: (line: string) => void }} options
 * @returns {Promise<Download>}
 */
export async function downloadWheel(requirement, folder, { pins, extraIndex, onLine }) {
	mkdirSync(folder, { recursive: true });
	await runCommand(
		'python3',
		[
			...['-m', 'pip', 'download', '--no-deps', '--only-binary', ':all:', '--disable-pip-version-check', '--no-input'],
			...['--progress-bar', 'off', '-d', folder, requirement],
			...(extraIndex === undefined ? [] : ['--extra-index-url', extraIndex]),
		],
		// An index that does not answer is passed over at once, not after five growing pauses.
		{
			// PIP_REQUIRE_VIRTUALENV guards against installing; a download installs nothing.
			env: { PIP_RETRIES: '0', PIP_DEFAULT_TIMEOUT: '30', ...process.env, PIP_REQUIRE_VIRTUALENV: '0' },
			...(onLine === undefined ? {} : { onLine }),
		},
	);
	const file = readdirSync(folder).find((name) => name.endsWith('.whl'));
	if (file === undefined) throw new SetupError(`[setup] pip download ${requirement} must give a wheel but gave none`);
	const path = join(folder, file);
	const sha256 = await sha256Of(path);
	const pin = pins[file];
	if (pin !== undefined && pin !== sha256) {
		throw new SetupError(
			`[setup] ${file} must have sha256 ${pin} but has ${sha256}: damaged, or not the published file`,
		);
	}
	return { file, path, sha256, checked: pin === undefined ? 'index' : 'pinned' };
}

/**
 * Fetches an archive whose hash is known beforehand.
 *
 * @param {{ url: string, sha256?: string }} archive - With the pinned hash, where there is one.
 * @param {string} folder
 * @returns {Promise<Download>}
 */
export async function downloadArchive({ url, sha256: pinned }, folder) {
	const given = process.env.EHR_JEPA_LIBTORCH_SHA256;
	const expected = given || pinned;
	if (expected === undefined) {
		throw new SetupError(`${url} has no pinned sha256; to allow it, set EHR_JEPA_LIBTORCH_SHA256 to the one you trust`);
	}
	mkdirSync(folder, { recursive: true });
	const path = join(folder, 'libtorch.zip');
	const response = await fetch(url).catch((cause) => {
		throw new SetupError(`${url}: ${cause.cause?.message ?? cause.message}`);
	});
	if (!response.ok || response.body === null) throw new SetupError(`${url} answered ${response.status}`);
	await pipeline(response.body, createWriteStream(path));
	const sha256 = await sha256Of(path);
	if (sha256 !== expected) throw new SetupError(`${url} must have sha256 ${expected} but has ${sha256}`);
	return { file: url, path, sha256, checked: given ? 'given' : 'pinned' };
}
