import { OutputError } from '../errors.js';
import { exists, requireEmptyFolder } from '../files/exists.js';
import { readJson } from '../files/json.js';
import { writeWhole } from '../files/whole.js';
import { madeAgain } from './readings.js';

/**
 * Takes a new folder, or one that was begun with the same options.
 *
 * @param wanted - What the files of the folder depend on; kept in `file`.
 * @throws {OutputError} For a folder of other options or of something else.
 */
export async function claimFolder(
	scope: string,
	folder: string,
	file: string,
	wanted: Readonly<Record<string, unknown>>,
): Promise<void> {
	if (await exists(file)) {
		const found = (await readJson(file, madeAgain)) as Record<string, unknown>;
		const differing = [...new Set([...Object.keys(wanted), ...Object.keys(found)])].filter(
			(name) => JSON.stringify(wanted[name]) !== JSON.stringify(found[name]),
		);
		if (differing.length === 0) return;
		throw new OutputError(
			`[${scope}] ${folder} must hold a ${scope === 'study' ? 'study' : 'cross-validation'} of the same options but differs in ${differing.map((name) => `${name} (${JSON.stringify(found[name])}, now ${JSON.stringify(wanted[name])})`).join(', ')}; choose another folder`,
		);
	}
	await requireEmptyFolder(folder);
	await writeWhole(file, `${JSON.stringify(wanted, undefined, '\t')}\n`);
}
