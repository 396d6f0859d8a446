import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './paths.mjs';

/**
 * @typedef {object} ConfigurePreset
 * @property {string} name
 * @property {boolean} [hidden]
 * @property {string | string[]} [inherits]
 * @property {Record<string, string>} [cacheVariables]
 */

/** CMakePresets.json is the one list of presets; cmake-js does not read it. @returns {ConfigurePreset[]} */
function configurePresets() {
	return JSON.parse(readFileSync(join(root, 'CMakePresets.json'), 'utf8')).configurePresets;
}

/** Presets that a user may name. */
export function presetNames() {
	return configurePresets()
		.filter(({ hidden }) => hidden !== true)
		.map(({ name }) => name);
}

/**
 * What a preset sets in CMake's cache, its own values before inherited ones, and of those the first that is listed.
 *
 * @param {string} name
 * @returns {Record<string, string>}
 */
export function cacheVariables(name) {
	const preset = configurePresets().find((candidate) => candidate.name === name);
	if (preset === undefined) throw new Error(`CMakePresets.json must have a preset ${name} but has none`);
	const inherited = [preset.inherits ?? []].flat().reverse().map(cacheVariables);
	return Object.assign({}, ...inherited, preset.cacheVariables);
}
