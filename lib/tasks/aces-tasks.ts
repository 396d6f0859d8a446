import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { Database } from '../data/query.js';
import { copyToParquet } from '../files/duckdb-files.js';
import { extractAcesTask } from './aces/extract.js';
import { parseAcesTask } from './aces/schema.js';
import { decidingCodes } from './deciding-codes.js';
import { labelColumns } from './load-labels.js';
import type { TaskListEntry } from './read.js';

/** Folder of these tasks below that of the tasks, and the beginning of their names. */
export const acesFolder = 'aces';

/** A task in the form of ACES (justin13601/ACES): predicates, trigger, windows. */
export const AcesTaskSource = z.strictObject({
	/** Folder name; `/` makes folders. */
	name: z.string().regex(/^[\w-]+(\/[\w-]+)*$/, 'must be words joined by - or _'),
	/** The YAML text. */
	yaml: z.string(),
	/** YAML text of the data set's predicates, which take the place of those of the task. */
	predicates: z.string().optional(),
});
export type AcesTaskSource = z.input<typeof AcesTaskSource>;

/**
 * Adds the samples of tasks in the form of ACES: their index dates join the others, and what is left out is counted. Needs the
 * tables all_events (with values), subjects, subject_splits, index_dates, index_rules and first_seen.
 *
 * @throws {ConfigError} For what is not supported, by its name.
 */
export async function addAcesTasks(
	database: Database,
	folder: string,
	sources: readonly AcesTaskSource[],
): Promise<TaskListEntry[]> {
	const entries: TaskListEntry[] = [];
	for (const { name, yaml, predicates } of sources) {
		const own = predicates === undefined ? undefined : { file: `${name}, predicates`, text: predicates };
		const task = await parseAcesTask(name, yaml, own);
		const { flow, censored, repeated, withoutSplit, ...found } = await extractAcesTask(database, name, task);
		const rule = `${acesFolder}/${name}`;
		await database.run(
			`INSERT INTO index_dates SELECT l.subject_id, l.t, s.split FROM labels l JOIN subject_splits s USING (subject_id)
			ANTI JOIN index_dates i ON i.subject_id = l.subject_id AND i.t = l.t`,
		);
		await database.run(`INSERT INTO index_rules SELECT subject_id, t, '${rule}', NULL::INTEGER FROM labels`);
		const directory = join(acesFolder, name);
		await mkdir(join(folder, directory), { recursive: true });
		await database.run(copyToParquet(labelColumns, join(folder, directory, '0.parquet')));
		const [counts] = await database.rows(
			'SELECT count(*)::INTEGER AS samples, (count(*) FILTER (value))::INTEGER AS positives, count(DISTINCT subject_id)::INTEGER AS patients FROM labels',
		);
		const [target, window] = Object.entries(task.windows).find(([, one]) => one.label !== undefined)!;
		entries.push({
			name: rule,
			label: name.replaceAll(/[_-]/g, ' '),
			definition: `${window.label} in window ${target}; ${flow.map(({ step, samples }) => `${step}: ${samples}`).join(', ')}`,
			horizonDays: null,
			directory,
			matchingEvents: found.predicates.find((one) => one.name === window.label)?.events ?? null,
			samples: Number(counts?.samples),
			positives: Number(counts?.positives),
			patients: Number(counts?.patients),
			excluded: {
				censored,
				prevalent: 0,
				inBuffer: 0,
				notAtRisk: 0,
				unlabelled: 0,
				repeated,
				withoutSplit,
				withoutEvents: 0,
			},
			decidingCodes: await decidingCodes(database),
			predicates: found.predicates,
			flow,
		});
	}
	return entries;
}
