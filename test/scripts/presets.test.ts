/** CMakePresets.json is what `setup build --preset` builds, inherited values included. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { cacheVariables, presetNames, root } from './script-modules.js';

t.test('presets that users may name are those of the file, and end with the same values as in CMake', async (t) => {
	t.same(presetNames(), ['release', 'debug', 'asan'], 'without the hidden base');
	const common = { CMAKE_EXPORT_COMPILE_COMMANDS: 'ON', EHR_JEPA_TESTS: 'ON' };
	t.same(cacheVariables('release'), { ...common, CMAKE_BUILD_TYPE: 'Release', EHR_JEPA_SANITIZE: 'OFF' });
	t.same(cacheVariables('debug'), { ...common, CMAKE_BUILD_TYPE: 'Debug', EHR_JEPA_SANITIZE: 'OFF' });
	t.same(
		cacheVariables('asan'),
		{ ...common, CMAKE_BUILD_TYPE: 'Debug', EHR_JEPA_SANITIZE: 'ON' },
		'own before inherited',
	);
	t.throws(() => cacheVariables('nonsense'), /must have a preset nonsense/);
});

t.test('every option that a preset sets is one of CMakeLists.txt', async (t) => {
	const lists = readFileSync(join(root, 'CMakeLists.txt'), 'utf8');
	for (const name of presetNames()) {
		for (const variable of Object.keys(cacheVariables(name))) t.match(lists, variable, `${name}: ${variable}`);
	}
});

t.test('an installed package brings the file', async (t) => {
	const { files } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { files: string[] };
	t.ok(files.includes('CMakePresets.json'));
});
