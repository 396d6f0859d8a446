import { setImmediate } from 'node:timers/promises';
import { DataError } from '../errors.js';
import type { FeatureTable } from './features.js';

// From here on a number rounds to infinity; the largest float16 is 65,504.
const beyondFloat16 = 65_520;
// A row group holds about so many numbers, as JavaScript numbers until it is written.
const numbersPerRowGroup = 1 << 20;

/**
 * Writes states as parquet with numbers of two bytes, which DuckDB does not write: subject_id INT64, prediction_time TIMESTAMP
 * in microseconds, embedding a list of FLOAT16, each the nearest to the state.
 *
 * @throws {DataError} For a number beyond float16; names file, row and subject.
 */
export async function writeFloat16States(
	path: string,
	table: FeatureTable,
	metadata: Readonly<Record<string, string>>,
): Promise<void> {
	const { fileWriter, parquetWriteRows } = await import('hyparquet-writer');
	await parquetWriteRows({
		writer: fileWriter(path),
		rows: rowsOf(path, table),
		columns: [{ name: 'subject_id' }, { name: 'prediction_time' }, { name: 'embedding', encoding: 'PLAIN' }],
		schema: [
			{ name: 'schema', num_children: 3 },
			{ name: 'subject_id', type: 'INT64', repetition_type: 'OPTIONAL' },
			{
				name: 'prediction_time',
				type: 'INT64',
				converted_type: 'TIMESTAMP_MICROS',
				logical_type: { type: 'TIMESTAMP', isAdjustedToUTC: false, unit: 'MICROS' },
				repetition_type: 'OPTIONAL',
			},
			{ name: 'embedding', converted_type: 'LIST', num_children: 1, repetition_type: 'OPTIONAL' },
			{ name: 'list', num_children: 1, repetition_type: 'REPEATED' },
			{
				name: 'element',
				type: 'FIXED_LEN_BYTE_ARRAY',
				type_length: 2,
				logical_type: { type: 'FLOAT16' },
				repetition_type: 'OPTIONAL',
			},
		],
		rowGroupSize: Math.max(1, Math.floor(numbersPerRowGroup / table.columns)),
		kvMetadata: Object.entries(metadata).map(([key, value]) => ({ key, value })),
	});
}

async function* rowsOf(file: string, { samples, values, columns }: FeatureTable) {
	for (const [row, { subjectId, predictionTime }] of samples.entries()) {
		if (row % 64 === 0) await setImmediate();
		const embedding = [...values.subarray(row * columns, (row + 1) * columns)];
		const place = embedding.findIndex((value) => !(Math.abs(value) < beyondFloat16));
		if (place >= 0) {
			throw new DataError('embed', {
				file,
				column: 'embedding',
				rule: 'must fit float16 (65504 at most)',
				value: `a larger number at place ${place} in row ${row}, subject ${subjectId}`,
				fix: 'write float32',
			});
		}
		yield { subject_id: subjectId, prediction_time: predictionTime, embedding };
	}
}
