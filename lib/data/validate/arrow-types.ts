import { type DataType, RecordBatchReader } from 'apache-arrow';
import { parquetFooters } from '../../files/duckdb-files.js';
import { type ParquetColumn, parquetColumns, refuseRowNumbers } from '../parquet-columns.js';
import type { Database } from '../query.js';

/**
 * Types of a parquet file's columns under the names that pyarrow prints, by which MEDS is defined: `timestamp[us]`,
 * `large_string`. Parquet itself does not tell `string` from `large_string` or from a dictionary: Arrow's schema in the
 * footer (`ARROW:schema`) does, as it does for pyarrow.
 *
 * @param scope - Of the reader, for messages.
 * @param file - The name that messages have.
 * @throws {DataError} As {@link parquetColumns}.
 */
export async function arrowTypes(
	database: Database,
	scope: string,
	file: string,
	path: string,
): Promise<Map<string, string>> {
	const columns = await parquetColumns(database, scope, file, path);
	refuseRowNumbers(scope, file, columns);
	const [stored] = await database.rows(
		`SELECT decode(value) AS schema FROM ${parquetFooters('kv_metadata', path)} WHERE decode(key) = 'ARROW:schema'`,
	);
	const textForms = typeof stored?.schema === 'string' ? textTypes(stored.schema) : new Map<string, string>();
	const types = new Map<string, string>();
	for (const { name, type: duckType, element } of columns) {
		const type = nested(duckType) ?? primitive(element);
		types.set(name, type === 'string' ? (textForms.get(name) ?? type) : type);
	}
	return types;
}

function nested(duckType: string): string | undefined {
	if (duckType === 'VARCHAR[]') return 'list<string>';
	return /[[(]/.test(duckType) && !duckType.startsWith('DECIMAL') ? duckType.toLowerCase() : undefined;
}

function primitive(element: ParquetColumn['element']): string {
	const physical = String(element.type);
	const converted = String(element.converted_type ?? '');
	const logical = String(element.logical_type ?? '');
	if (converted === 'UTF8' || logical.startsWith('String')) return 'string';
	if (/^Timestamp/.test(logical) || converted.startsWith('TIMESTAMP')) {
		const unit = /MILLIS=Milli/.test(logical) || converted === 'TIMESTAMP_MILLIS' ? 'ms' : undefined;
		const zone = /isAdjustedToUTC=1/.test(logical) || logical === '' ? ', tz=UTC' : '';
		return `timestamp[${unit ?? (/NANOS=Nano/.test(logical) ? 'ns' : 'us')}${zone}]`;
	}
	const integer = /^(U?)INT_(\d+)$/.exec(converted);
	if (integer !== null) return `${integer[1] === 'U' ? 'uint' : 'int'}${integer[2]}`;
	if (converted === 'DATE') return 'date32[day]';
	if (converted === 'DECIMAL') return 'decimal128';
	return physicalTypes[physical] ?? physical.toLowerCase();
}

const physicalTypes: Readonly<Record<string, string>> = {
	BOOLEAN: 'bool',
	INT32: 'int32',
	INT64: 'int64',
	INT96: 'timestamp[ns]',
	FLOAT: 'float',
	DOUBLE: 'double',
	BYTE_ARRAY: 'binary',
};

/** Which text columns are `large_string` or dictionaries. A schema that cannot be read says nothing. */
function textTypes(base64: string): Map<string, string> {
	const types = new Map<string, string>();
	try {
		const { schema } = RecordBatchReader.from(Buffer.from(base64, 'base64')).open();
		for (const { name, type } of schema.fields) {
			const text = textType(type);
			if (text !== undefined) types.set(name, text);
		}
	} catch {
		return new Map();
	}
	return types;
}

function textType(type: DataType): string | undefined {
	const name = String(type);
	if (name === 'LargeUtf8') return 'large_string';
	return name.startsWith('Dictionary') ? 'dictionary<string>' : undefined;
}
