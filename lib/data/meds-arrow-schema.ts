import {
	type DataType,
	Field,
	Float32,
	Int64,
	LargeUtf8,
	RecordBatchStreamWriter,
	Schema,
	Timestamp,
	TimeUnit,
	Utf8,
} from 'apache-arrow';
import { quoted } from './query.js';

/** Arrow types of the columns of a MEDS 0.4 data file (`meds/schema.py`). */
export const medsEventTypes = {
	subject_id: new Int64(),
	time: new Timestamp(TimeUnit.MICROSECOND, null),
	code: new Utf8(),
	numeric_value: new Float32(),
	text_value: new LargeUtf8(),
} as const satisfies Record<string, DataType>;

/**
 * Option of DuckDB's `COPY ... (FORMAT parquet, <this>)` that puts an Arrow schema into the footer.
 *
 * Parquet does not tell `string` from `large_string`: pyarrow reads the difference from this schema, and MEDS asks for
 * `large_string` in text_value.
 *
 * @param types - Every column of the file, in its order.
 */
export function arrowSchemaOption(types: Readonly<Record<string, DataType>>): string {
	const fields = Object.entries(types).map(([name, type]) => new Field(name, type, true));
	const writer = new RecordBatchStreamWriter();
	writer.reset(undefined, new Schema(fields));
	writer.finish();
	const bytes = Buffer.from(writer.toUint8Array(true));
	return `KV_METADATA {'ARROW:schema': ${quoted(bytes.toString('base64'))}}`;
}
