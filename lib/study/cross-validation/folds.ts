import { symlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { MedsDataset } from '../../data/meds.js';
import { writeSubjectSplits } from '../../data/meds-writer.js';
import { withDatabase } from '../../data/query.js';
import { ConfigError } from '../../errors.js';
import { exists } from '../../files/exists.js';
import { makeFolder, writeWholeFolder } from '../../files/whole.js';
import { RandomStream } from '../../random.js';
import { type Split, splits } from '../../types.js';

/**
 * Deals the patients of a data set into folds whose sizes differ by one at most.
 *
 * @param repeat - Another one deals them otherwise.
 * @returns The fold of each patient.
 * @throws {ConfigError} When a fold would be empty.
 */
export function dealFolds(
	{ subjects }: Pick<MedsDataset, 'subjects'>,
	folds: number,
	seed: number,
	repeat: number,
): Map<bigint, number> {
	const patients = splits.flatMap((split) => subjects[split]).sort((a, b) => (a < b ? -1 : 1));
	if (patients.length < folds)
		throw new ConfigError(`[cross-validate] folds must be at most the ${patients.length} patients but are ${folds}`);
	const dealt = new RandomStream(seed, 'folds', repeat).shuffle(patients);
	return new Map(dealt.map((patient, place) => [patient, place % folds]));
}

/** What a patient of one fold is for while another fold is held out: the fold after it chooses. */
function splitOf(fold: number, heldOut: number, folds: number): Split {
	if (fold === heldOut) return 'held_out';
	return fold === (heldOut + 1) % folds ? 'tuning' : 'train';
}

/**
 * Writes a MEDS folder of the same events with the splits of one fold: links to the data files, and a splits file of its own.
 *
 * @param foldOf - Of each patient.
 */
export async function writeFold(
	folder: string,
	dataset: MedsDataset,
	foldOf: ReadonlyMap<bigint, number>,
	heldOut: number,
	folds: number,
): Promise<void> {
	await writeWholeFolder(folder, async (temporary) => {
		const [data, metadata] = [join(temporary, 'data'), join(temporary, 'metadata')];
		await makeFolder(data);
		await makeFolder(metadata);
		// Flat: folders such as train/ would be splits of their own.
		for (const [i, file] of dataset.files.entries()) await symlink(file, join(data, `${i}.parquet`));
		for (const name of ['codes.parquet', 'dataset.json']) {
			const file = join(dataset.directory, 'metadata', name);
			if (await exists(file)) await symlink(file, join(metadata, name));
		}
		const patients = [...foldOf.keys()].sort((a, b) => (a < b ? -1 : 1));
		const places = patients.map((patient) => splits.indexOf(splitOf(foldOf.get(patient)!, heldOut, folds)));
		await withDatabase({ threads: 1 }, (database) =>
			writeSubjectSplits(database, metadata, [
				{ subjectIds: BigInt64Array.from(patients), splitOf: Uint8Array.from(places) },
			]),
		);
	});
}
