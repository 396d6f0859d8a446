import { columnNames } from '../column-names.js';
import type { Findings, Rule } from './rule.js';

/** A column of a MEDS file. */
interface Column {
	/** As pyarrow prints it. */
	readonly type: string;
	/** Types that are read all the same (older MEDS, other writers). */
	readonly accepted?: RegExp;
	/** Names that it had before MEDS 0.4. */
	readonly olderNames?: readonly string[];
	readonly required: boolean;
}

/** A MEDS schema; a closed one allows no further columns. */
export interface FileSchema {
	readonly closed: boolean;
	readonly columns: Readonly<Record<string, Column>>;
}

const integers = /^u?int(8|16|32)$/;
const texts = /^(string|large_string|dictionary<string>)$/;

/** The parquet schemas of MEDS 0.4 (`meds/schema.py`). */
export const schemas = {
	data: {
		closed: false,
		columns: {
			subject_id: { type: 'int64', accepted: integers, olderNames: ['patient_id'], required: true },
			time: { type: 'timestamp[us]', accepted: /^timestamp\[/, olderNames: ['timestamp'], required: true },
			code: { type: 'string', accepted: texts, required: true },
			numeric_value: {
				type: 'float',
				accepted: /^(double|halffloat|decimal128|u?int\d+)$/,
				olderNames: ['numerical_value'],
				required: false,
			},
			text_value: { type: 'large_string', accepted: texts, required: false },
		},
	},
	codes: {
		closed: false,
		columns: {
			code: { type: 'string', accepted: texts, required: true },
			description: { type: 'string', accepted: texts, required: false },
			parent_codes: { type: 'list<string>', required: false },
		},
	},
	splits: {
		closed: true,
		columns: {
			subject_id: { type: 'int64', accepted: integers, olderNames: ['patient_id'], required: true },
			split: { type: 'string', accepted: texts, required: true },
		},
	},
} satisfies Record<string, FileSchema>;

const missing: Rule = {
	name: 'column-missing',
	severity: 'error',
	basis: 'meds-0.4',
	unit: 'columns',
	message: 'a required column must be present',
};
const wrongType: Rule = {
	name: 'column-type',
	severity: 'error',
	basis: 'meds-0.4',
	unit: 'columns',
	message: 'a column must have its type of MEDS 0.4 or one that can be read as it',
	fix: 'cast the column',
};
const extra: Rule = {
	name: 'column-extra',
	severity: 'error',
	basis: 'meds-0.4',
	unit: 'columns',
	message: 'a closed schema allows no further columns',
	fix: 'remove the column',
};
const olderType: Rule = {
	name: 'column-type-older',
	severity: 'warning',
	basis: 'older-meds',
	unit: 'columns',
	message: 'a column has another type than in MEDS 0.4; it is read all the same',
	fix: 'cast the column',
};
const olderName: Rule = {
	name: 'column-name-older',
	severity: 'warning',
	basis: 'older-meds',
	unit: 'columns',
	message: 'a column has its name of before MEDS 0.4; it is read all the same',
	fix: 'rename the column',
};
const valueColumn: Rule = {
	name: 'column-value',
	severity: 'error',
	basis: 'data-quality',
	unit: 'columns',
	message:
		'must be called numeric_value, or every value would be lost: a column is called value and none numeric_value',
	fix: 'rename the column to numeric_value',
};

export const schemaRules: readonly Rule[] = [missing, wrongType, extra, olderType, olderName, valueColumn];

/**
 * Compares a file's columns with its schema.
 *
 * @param types - Of {@link arrowTypes}.
 * @returns The file's own name of every column of the schema that can be read; undefined when a required one cannot.
 */
export function checkSchema(
	file: string,
	types: ReadonlyMap<string, string>,
	schema: FileSchema,
	findings: Findings,
): Map<string, string> | undefined {
	const readable = new Map<string, string>();
	let whole = true;
	for (const [column, { type, accepted, olderNames = [], required }] of Object.entries(schema.columns)) {
		const name = [column, ...olderNames].find((candidate) => types.has(candidate));
		if (name === undefined) {
			if (required) findings.add(missing, 1, { file, column, value: `columns ${columnNames(types.keys())}` });
			whole &&= !required;
			continue;
		}
		if (name !== column) findings.add(olderName, 1, { file, column, value: name });
		const found = types.get(name)!;
		if (found !== type && accepted?.test(found) !== true) {
			findings.add(wrongType, 1, { file, column, value: `${found} instead of ${type}` });
			whole &&= !required;
			continue;
		}
		if (found !== type) findings.add(olderType, 1, { file, column, value: `${found} instead of ${type}` });
		readable.set(column, name);
	}
	if (schema.closed) {
		for (const column of types.keys()) {
			if (![...readable.values()].includes(column) && !(column in schema.columns))
				findings.add(extra, 1, { file, column });
		}
	} else if ('numeric_value' in schema.columns && !readable.has('numeric_value') && types.has('value')) {
		findings.add(valueColumn, 1, { file, column: 'value', value: types.get('value')! });
	}
	return whole ? readable : undefined;
}
