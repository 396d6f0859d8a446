import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Database } from '../data/query.js';
import { DataError } from '../errors.js';
import { copyToParquet } from '../files/duckdb-files.js';
import { hiddenNote } from '../files/visible-files.js';
import { sortedNames } from './class-labels.js';
import { classLabelColumns, labelKind, loadClassLabels } from './class-sets.js';
import { classDecidingCodes, decidingCodes } from './deciding-codes.js';
import { findLabelSets } from './label-sets.js';
import { labelColumns, loadLabels } from './load-labels.js';
import type { ClassTaskEntry, TaskListEntry } from './read.js';

/** Folder of the ready label sets below that of the tasks, and the beginning of their names. */
export const readyFolder = 'external';
/** What gave the index dates of ready label sets. */
export const readyRule = 'ready-labels';

/** What became of ready label sets. */
export interface ReadyLabels {
	/** Of yes and no. */
	readonly entries: TaskListEntry[];
	readonly classes: ClassTaskEntry[];
	readonly note: string | undefined;
}

/**
 * Adds label sets that came with the data: each is read strictly, its index dates join the others, and what is left out is
 * counted. Needs the tables all_events, subject_splits, index_dates, index_rules and first_seen.
 *
 * @param shards - Files of the data set relative to its data folder.
 * @throws {DataError} As {@link findLabelSets}, {@link loadLabels} and {@link loadClassLabels}, and for a set with no subject of
 *   this data set.
 */
export async function addReadyLabels(
	database: Database,
	folder: string,
	source: string,
	shards: readonly string[],
): Promise<ReadyLabels> {
	const entries: TaskListEntry[] = [];
	const classes: ClassTaskEntry[] = [];
	await database.run('CREATE TEMP TABLE known_subjects AS SELECT DISTINCT subject_id FROM all_events');
	const { sets, hidden } = await findLabelSets(source, shards);
	for (const { name, files } of sets) {
		const kind = await labelKind(database, files);
		const { unlabelled, repeated } = await (kind === 'classes' ? loadClassLabels : loadLabels)(database, files);
		const { samples, patients, ...without } = await joinSubjects(database, source, name);
		const directory = join(readyFolder, name);
		await mkdir(join(folder, directory), { recursive: true });
		const columns = kind === 'classes' ? classLabelColumns : labelColumns;
		await database.run(copyToParquet(columns, join(folder, directory, '0.parquet')));
		const about = {
			name: `${readyFolder}/${name}`,
			label: name.replaceAll('_', ' '),
			definition: 'label set that came with the data',
			directory,
			samples,
			patients,
		};
		const counts = await database.rows(
			'SELECT value::VARCHAR AS value, count(*)::INTEGER AS n FROM labels GROUP BY ALL',
		);
		const samplesOf = new Map(counts.map(({ value, n }) => [String(value), Number(n)]));
		const excluded = { unlabelled, repeated, ...without };
		if (kind === 'classes') {
			classes.push({
				...about,
				classes: sortedNames(samplesOf.keys()).map((one) => ({ name: one, samples: samplesOf.get(one)! })),
				excluded,
				decidingCodes: await classDecidingCodes(database),
			});
			continue;
		}
		entries.push({
			...about,
			horizonDays: null,
			matchingEvents: null,
			positives: samplesOf.get('true') ?? 0,
			excluded: { censored: 0, prevalent: 0, inBuffer: 0, notAtRisk: 0, ...excluded },
			decidingCodes: await decidingCodes(database),
		});
	}
	const note = hiddenNote(hidden);
	return { entries, classes, note: note === undefined ? undefined : `labels: ${note}` };
}

/** Leaves the labels of subjects with a split in the table `labels`, and adds their index dates to the others. */
async function joinSubjects(
	database: Database,
	source: string,
	name: string,
): Promise<{
	readonly samples: number;
	readonly patients: number;
	readonly withoutSplit: number;
	readonly withoutEvents: number;
}> {
	const [left] = await database.rows(
		`SELECT (count(*) FILTER (k.subject_id IS NULL))::DOUBLE AS eventless,
			(count(*) FILTER (k.subject_id IS NOT NULL AND s.subject_id IS NULL))::DOUBLE AS splitless
		FROM labels l LEFT JOIN known_subjects k USING (subject_id) LEFT JOIN subject_splits s USING (subject_id)`,
	);
	await database.run('DELETE FROM labels WHERE subject_id NOT IN (SELECT subject_id FROM subject_splits)');
	const [counts] = await database.rows(
		'SELECT count(*)::INTEGER AS samples, count(DISTINCT subject_id)::INTEGER AS patients FROM labels',
	);
	const [withoutEvents, withoutSplit] = [Number(left?.eventless), Number(left?.splitless)];
	if (Number(counts?.samples) === 0) {
		throw new DataError('labels', {
			file: source,
			rule: `must label subjects of this data set's splits in ${name}`,
			value: `${withoutEvents} labels of subjects without events, ${withoutSplit} of subjects in no split`,
			fix: 'give the labels of this data set',
		});
	}
	await database.run(
		`INSERT INTO index_dates SELECT l.subject_id, l.t, s.split FROM labels l JOIN subject_splits s USING (subject_id)
		ANTI JOIN index_dates i ON i.subject_id = l.subject_id AND i.t = l.t`,
	);
	await database.run(
		`INSERT INTO index_rules SELECT DISTINCT l.subject_id, l.t, '${readyRule}', NULL::INTEGER FROM labels l
		ANTI JOIN index_rules i ON i.subject_id = l.subject_id AND i.t = l.t AND i.rule = '${readyRule}'`,
	);
	return { samples: Number(counts?.samples), patients: Number(counts?.patients), withoutSplit, withoutEvents };
}
