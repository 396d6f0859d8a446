import type { DuckDBBigIntVector, DuckDBVarCharVector } from '@duckdb/node-api';
import { columnNames } from '../data/column-names.js';
import { parquetColumns } from '../data/parquet-columns.js';
import { queryFile } from '../data/query.js';
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
			await checkSplitFile(database, features);
		}
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
