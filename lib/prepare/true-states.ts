import { join } from 'node:path';
import { latentsFolder } from '../cohort/latent-writer.js';
import { cohortName } from '../cohort/simulate.js';
import { eventsSql, type MedsFiles } from '../data/meds.js';
import { reading, withDatabase } from '../data/query.js';
import { copyToParquet, parquetFiles } from '../files/duckdb-files.js';
import { exists } from '../files/exists.js';
import { hiddenNote, parquetPaths } from '../files/visible-files.js';
import { StoreSplit } from '../store/token-store.js';
import { trueStatePatients, trueStatesFile } from '../store/true-states.js';
import type { LongOperation } from '../types.js';

/**
 * Copies the true states of the first tuning patients of a simulated cohort into a store, at the ends of their days with
 * events, so that a training can see whether it learns them. Other data sets have none.
 *
 * @param folder - The store that is being made; its index of tuning patients is there.
 * @param onWarning - Is told of hidden files.
 * @throws {DataError}
 */
export async function copyTrueStates(
	folder: string,
	dataset: MedsFiles,
	onWarning?: LongOperation['onWarning'],
): Promise<void> {
	const latents = join(dataset.directory, latentsFolder);
	if (dataset.name !== cohortName || !(await exists(latents))) return;
	const subjects = await firstSubjects(folder);
	if (subjects.length === 0) return;
	const hidden: string[] = [];
	const files = parquetFiles(await parquetPaths('prepare', latents, hidden));
	const note = hiddenNote(hidden);
	if (note !== undefined) onWarning?.(note);
	await withDatabase({ threads: 1, memoryLimit: '1GB' }, (database) =>
		reading('prepare', latents, async () => {
			await database.run(
				`CREATE TABLE days AS SELECT DISTINCT subject_id, floor(time / 86400000000)::INTEGER AS day
				FROM (${eventsSql(dataset)}) WHERE time IS NOT NULL AND subject_id IN (${subjects.join(', ')})`,
			);
			// The range of ids spares most files of a large cohort.
			const states = `SELECT s.* FROM ${files} s JOIN days USING (subject_id, day)
				WHERE s.subject_id BETWEEN ${subjects[0]} AND ${subjects.at(-1)} ORDER BY subject_id, day`;
			await database.run(copyToParquet(states, join(folder, trueStatesFile), ['COMPRESSION zstd']));
		}),
	);
}

/** In ascending order. */
async function firstSubjects(folder: string): Promise<bigint[]> {
	const split = await StoreSplit.open(folder, 'tuning');
	try {
		const subjects: bigint[] = [];
		for (let i = 0; i < Math.min(split.size, trueStatePatients); i++) subjects.push((await split.entry(i)).subjectId);
		return subjects;
	} finally {
		await split.close();
	}
}
