import type { Database } from '../data/query.js';
import { reading } from '../data/query.js';
import { arrowTypes } from '../data/validate/arrow-types.js';
import { DataError } from '../errors.js';
import { parquetFiles } from '../files/duckdb-files.js';
import { readClassLabels, sortedClasses } from './class-labels.js';
import { type LabelCounts, type LabelKind, requireLabelSchema } from './load-labels.js';

/** More are no comparison that anybody reads; `probe --kind multinomial` takes more. */
const mostComparedClasses = 100;

/** What the labels of a set are: classes where none of its files says yes or no, and one names a class. */
export async function labelKind(database: Database, files: readonly string[]): Promise<LabelKind> {
	const holds = async (wanted: readonly string[]) => {
		for (const file of files) {
			const types = await arrowTypes(database, 'labels', file, file);
			const found = wanted.filter((column) => types.has(column));
			if (found.length === 0) continue;
			const [row] = await reading('labels', file, () =>
				database.rows(`SELECT count(COALESCE(${found.map((column) => `${column}::VARCHAR`).join(', ')}))::DOUBLE AS n
					FROM ${parquetFiles(file)}`),
			);
			if (Number(row?.n) > 0) return true;
		}
		return false;
	};
	if (await holds(['boolean_value'])) return 'boolean';
	return (await holds(['categorical_value', 'integer_value'])) ? 'classes' : 'boolean';
}

/**
 * Reads classes into the table `labels` (subject_id, t in microseconds, value), strictly by the MEDS label schema.
 *
 * @throws {DataError} As {@link readClassLabels}, and for a further column or more than 100 classes.
 */
export async function loadClassLabels(database: Database, files: readonly string[]): Promise<LabelCounts> {
	for (const file of files) await requireLabelSchema(database, file, 'classes');
	const { labels, counts, column } = await readClassLabels(files);
	const classes = sortedClasses(labels);
	if (classes.length > mostComparedClasses) {
		throw new DataError('labels', {
			file: files[0]!,
			column,
			rule: `must hold at most ${mostComparedClasses} classes for models to be compared on`,
			value: `${classes.length}`,
			fix: 'join rare classes, or use `probe --kind multinomial`, one set of features at a time',
		});
	}
	await database.run('CREATE OR REPLACE TEMP TABLE labels (subject_id BIGINT, t BIGINT, value VARCHAR)');
	const appender = await database.connection.createAppender('labels');
	for (const { subjectId, predictionTime, value } of labels) {
		appender.appendBigInt(subjectId);
		appender.appendBigInt(predictionTime);
		appender.appendVarchar(value);
		appender.endRow();
	}
	appender.closeSync();
	return counts;
}

/** SQL of the table `labels` of classes in the MEDS label schema. */
export const classLabelColumns =
	'SELECT subject_id, make_timestamp(t) AS prediction_time, value AS categorical_value FROM labels ORDER BY subject_id, t';
