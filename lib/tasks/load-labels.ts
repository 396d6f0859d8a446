import { columnNames } from '../data/column-names.js';
import { type Database, reading } from '../data/query.js';
import { arrowTypes } from '../data/validate/arrow-types.js';
import { DataError } from '../errors.js';
import { parquetFiles } from '../files/duckdb-files.js';

/** What became of the rows of a label set. */
export interface LabelCounts {
	readonly rows: number;
	/** Labels that are null: nobody knows, which is not no. */
	readonly unlabelled: number;
	/** Rows that say again what another says. */
	readonly repeated: number;
}

/** SQL of the table `labels` in the MEDS label schema. */
export const labelColumns =
	'SELECT subject_id, make_timestamp(t) AS prediction_time, value AS boolean_value FROM labels ORDER BY subject_id, t';

/** MEDS label schema: `type` as pyarrow prints it, and what is read all the same. */
const columns = {
	subject_id: { type: 'int64', accepted: /^u?int(8|16|32)$/, required: true },
	prediction_time: { type: 'timestamp[us]', accepted: /^timestamp\[/, required: true },
	boolean_value: { type: 'bool', accepted: /^$/, required: true },
	integer_value: { type: 'int64', accepted: /./, required: false },
	float_value: { type: 'float', accepted: /./, required: false },
	categorical_value: { type: 'string', accepted: /./, required: false },
} as const;
type Column = keyof typeof columns;

const fixes: Partial<Record<Column, string>> = {
	boolean_value: 'a task must be yes or no: write true, false, or null where nobody knows',
	prediction_time: 'write a timestamp',
};

/** Where labels of other kinds are read. */
const otherKinds =
	'classes (categorical_value, integer_value) are read by `probe --kind multinomial`, and by `tasks --labels` from a set in which boolean_value is missing or null throughout';

/** The fix for a column that is not as it must be. @param names - Of the file's columns. */
function fixOf(column: Column, names: readonly string[]): { readonly fix?: string } {
	const fix = fixes[column];
	if (fix === undefined) return {};
	return { fix: column === 'boolean_value' && hasClasses(new Set(names)) ? `${fix}; ${otherKinds}` : fix };
}

function hasClasses(names: ReadonlySet<string>): boolean {
	return names.has('categorical_value') || names.has('integer_value');
}

/** A drawn task may have no samples; a label set that was given must have some. */
interface LoadOptions {
	readonly mayBeEmpty: boolean;
}

/**
 * Reads the boolean labels of one task into the table `labels` (subject_id, t in microseconds, value), strictly by the MEDS
 * label schema: one row for each sample, nulls left out and counted.
 *
 * @throws {DataError} Another schema, a sample without subject or time, two labels for one sample, no label.
 */
export async function loadLabels(
	database: Database,
	files: readonly string[],
	{ mayBeEmpty }: LoadOptions = { mayBeEmpty: false },
): Promise<LabelCounts> {
	await database.run(
		'CREATE OR REPLACE TEMP TABLE label_rows (file INTEGER, "row" BIGINT, subject_id BIGINT, t BIGINT, value BOOLEAN)',
	);
	const named = new Set<string>();
	for (const [i, file] of files.entries()) {
		for (const name of await requireLabelSchema(database, file, 'boolean')) named.add(name);
		await reading('labels', file, () =>
			database.run(
				`INSERT INTO label_rows SELECT ${i}, file_row_number, subject_id::BIGINT,
				CASE WHEN isfinite(prediction_time) THEN epoch_us(prediction_time) END, boolean_value
			FROM ${parquetFiles(file, { rowNumbers: true })}`,
			),
		);
	}
	const [missing] = await database.rows(
		`SELECT file, "row", subject_id IS NULL AS subject FROM label_rows WHERE subject_id IS NULL OR t IS NULL
		ORDER BY file, "row" LIMIT 1`,
	);
	if (missing !== undefined) {
		throw new DataError('labels', {
			file: files[Number(missing.file)]!,
			column: missing.subject ? 'subject_id' : 'prediction_time',
			rule: missing.subject ? 'must not be null' : 'must not be null or infinite',
			value: `row ${missing.row}`,
		});
	}
	await refuseContradictions(database, files);
	await database.run(
		`CREATE OR REPLACE TEMP TABLE labels AS SELECT subject_id, t, any_value(value) AS value FROM label_rows
		WHERE value IS NOT NULL GROUP BY subject_id, t ORDER BY subject_id, t`,
	);
	const [found] = await database.rows(
		`SELECT (SELECT count(*) FROM label_rows)::DOUBLE AS rows,
			(SELECT count(*) FROM label_rows WHERE value IS NULL)::DOUBLE AS nulls, (SELECT count(*) FROM labels)::DOUBLE AS labels`,
	);
	const [rows, unlabelled, labels] = [Number(found?.rows), Number(found?.nulls), Number(found?.labels)];
	if (labels === 0 && !mayBeEmpty) {
		throw new DataError('labels', {
			file: files.length === 1 ? files[0]! : `${files[0]} to ${files.at(-1)}`,
			column: 'boolean_value',
			rule: 'must hold at least one label',
			value: rows === 0 ? 'no rows' : `${rows} rows, each null`,
			fix: ['leave the set out, or write its labels', ...(hasClasses(named) ? [otherKinds] : [])].join('; '),
		});
	}
	return { rows, unlabelled, repeated: rows - unlabelled - labels };
}

/** What the labels of a set are. */
export type LabelKind = 'boolean' | 'classes';

/**
 * Checks that a file has the columns of the MEDS label schema and no others.
 *
 * @param kind - Classes need no `boolean_value`.
 * @returns The columns that the file has.
 * @throws {DataError}
 */
export async function requireLabelSchema(
	database: Database,
	file: string,
	kind: LabelKind,
): Promise<readonly string[]> {
	const types = await arrowTypes(database, 'labels', file, file);
	const names = columnNames(types.keys());
	for (const [column, { type, accepted, required }] of Object.entries(columns)) {
		const found = types.get(column);
		if (found === undefined) {
			if (!required || (kind === 'classes' && column === 'boolean_value')) continue;
			throw new DataError('labels', {
				file,
				column,
				rule: 'must be there (MEDS label schema)',
				value: `columns ${names}`,
				...fixOf(column as Column, [...types.keys()]),
			});
		}
		if (found === type || accepted.test(found) || (kind === 'classes' && column === 'boolean_value')) continue;
		throw new DataError('labels', {
			file,
			column,
			rule: `must have type ${type} (MEDS label schema)`,
			value: found,
			...fixOf(column as Column, [...types.keys()]),
		});
	}
	const further = [...types.keys()].find((column) => !Object.hasOwn(columns, column));
	if (further !== undefined) {
		throw new DataError('labels', {
			file,
			column: further,
			rule: 'must not be there: the MEDS label schema is closed',
			value: `columns ${names}`,
			fix: 'remove the column',
		});
	}
	return [...types.keys()];
}

async function refuseContradictions(database: Database, files: readonly string[]): Promise<void> {
	const [first] = await database.rows(
		`SELECT subject_id, make_timestamp(t)::VARCHAR AS time,
			arg_min(file, (file, "row")) FILTER (value) AS yes_file, arg_min("row", (file, "row")) FILTER (value) AS yes_row,
			arg_min(file, (file, "row")) FILTER (NOT value) AS no_file, arg_min("row", (file, "row")) FILTER (NOT value) AS no_row
		FROM label_rows WHERE value IS NOT NULL GROUP BY subject_id, t HAVING bool_or(value) AND NOT bool_and(value)
		ORDER BY subject_id, t LIMIT 1`,
	);
	if (first === undefined) return;
	const [yes, no] = [files[Number(first.yes_file)]!, files[Number(first.no_file)]!];
	throw new DataError('labels', {
		file: yes,
		column: 'boolean_value',
		rule: 'must say one thing about a subject at a time',
		value: `subject ${first.subject_id} at ${first.time} is true in row ${first.yes_row} and false in row ${first.no_row}${yes === no ? '' : ` of ${no}`}`,
		fix: 'two tasks go into two folders; of two labels of one task only one can be right',
	});
}
