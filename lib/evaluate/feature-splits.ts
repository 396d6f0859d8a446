import type { DuckDBBigIntVector, DuckDBVarCharVector } from '@duckdb/node-api';
import { columnNames } from '../data/column-names.js';
import { parquetColumns } from '../data/parquet-columns.js';
import { type Database, queryFile } from '../data/query.js';
import { checkSplitFile, isSplit, loadSplitsFile } from '../data/read-splits.js';
import { DataError } from '../errors.js';
import { parquetFiles } from '../files/duckdb-files.js';
import { type LongOperation, type Split, splits } from '../types.js';

/**
 * The split of each subject: of a splits file (MEDS subject_splits), else of the column `split` of the features.
 *
 * @param onWarning - Is told of splits of other names.
 * @returns Subjects of the three splits; of others there is none.
 * @throws {DataError} A null, a subject in two splits, none of the known splits, neither column nor file.
 */
export async function readFeatureSplits(
	features: string,
	splitsPath?: string,
	onWarning?: LongOperation['onWarning'],
): Promise<Map<bigint, Split>> {
	return queryFile('probe', splitsPath ?? features, {}, async (database) => {
		if (splitsPath !== undefined) {
			await loadSplitsFile(database, splitsPath, [], splitsPath);
		} else {
			const columns = (await parquetColumns(database, 'probe', features, features)).map(({ name }) => name);
			if (!columns.includes('split')) {
				throw new DataError('probe', {
					file: features,
					column: 'split',
					rule: 'must be there, or the splits in a file of their own',
					value: `columns ${columnNames(columns)}`,
					fix: 'give --splits metadata/subject_splits.parquet',
				});
			}
			await database.run(
				`CREATE TABLE split_file AS SELECT DISTINCT subject_id::BIGINT AS subject_id, split::VARCHAR AS split
				FROM ${parquetFiles(features)}`,
			);
			await requireOneSplit(database, features);
			await checkSplitFile(database, features);
		}
		if (splitsPath !== undefined) await noteOtherSplits(database, features, onWarning);
		const result = new Map<bigint, Split>();
		const others = new Set<string>();
		for await (const chunk of database.stream('SELECT subject_id, split FROM split_file')) {
			const subjects = chunk.getColumnVector(0) as DuckDBBigIntVector;
			const names = chunk.getColumnVector(1) as DuckDBVarCharVector;
			for (let row = 0; row < chunk.rowCount; row++) {
				const name = names.getItem(row);
				if (isSplit(name)) result.set(subjects.getItem(row)!, name);
				else others.add(name!.slice(0, 20));
			}
		}
		if (others.size > 0) {
			const names = [...others].sort();
			onWarning?.(
				`splits of other names than ${splits.join(', ')} are left out: ${names.slice(0, 5).join(', ')}${names.length > 5 ? ' ...' : ''}`,
			);
		}
		return result;
	});
}

/** Refuses rows without a subject or split, and a subject that the features put into two splits. @throws {DataError} */
async function requireOneSplit(database: Database, file: string): Promise<void> {
	const refuse = (column: string, rule: string, value: string) => {
		throw new DataError('probe', { file, column, rule, value });
	};
	const [counts] = await database.rows(
		`SELECT (SELECT count(*) FROM ${parquetFiles(file)} WHERE subject_id IS NULL)::DOUBLE AS subjects,
			(SELECT count(*) FROM ${parquetFiles(file)} WHERE split IS NULL)::DOUBLE AS splits`,
	);
	const nulls = (count: unknown) => `${count} null${Number(count) === 1 ? '' : 's'}`;
	if (Number(counts?.subjects) > 0) refuse('subject_id', 'must not be null', nulls(counts?.subjects));
	if (Number(counts?.splits) > 0) refuse('split', 'must not be null', nulls(counts?.splits));
	const [twice] = await database.rows(
		`SELECT subject_id, string_agg(left(split, 20), ', ' ORDER BY split) AS names FROM split_file
		GROUP BY subject_id HAVING count(*) > 1 ORDER BY subject_id LIMIT 1`,
	);
	if (twice !== undefined)
		refuse('split', 'must be the same in each row of a subject', `${twice.names} for subject ${twice.subject_id}`);
}

/** Tells of subjects whose column `split` says otherwise than the splits file, which decides. */
async function noteOtherSplits(
	database: Database,
	features: string,
	onWarning: LongOperation['onWarning'],
): Promise<void> {
	const columns = await parquetColumns(database, 'probe', features, features);
	if (!columns.some(({ name }) => name === 'split')) return;
	const [found] = await database.rows(
		`SELECT count(DISTINCT f.subject_id)::DOUBLE AS n FROM ${parquetFiles(features)} f
		JOIN split_file s ON s.subject_id = f.subject_id WHERE s.split <> f.split::VARCHAR`,
	);
	const others = Number(found?.n);
	if (others === 0) return;
	onWarning?.(
		`${others} ${others === 1 ? 'subject is' : 'subjects are'} in another split by the column split of the features: the splits file decides`,
	);
}
