/** Work that meets a missing addon in the middle says that the set-up is missing, not that the native core failed. */
import t from 'tap';
import { SetupError } from '../../lib/errors.js';
import { nativeCall } from '../../lib/native.js';

t.test('a call of the core keeps the error of the set-up', async (t) => {
	const missing = new SetupError('[native] the addon could not be loaded');
	await t.rejects(
		nativeCall(() => {
			throw missing;
		}),
		missing,
	);
	await t.rejects(
		nativeCall(() => {
			throw new Error('[op] failed');
		}),
		{ code: 'EHR_JEPA_NATIVE' },
	);
});
