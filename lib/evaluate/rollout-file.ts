import { setImmediate } from 'node:timers/promises';
import type { DuckDBBigIntVector, DuckDBIntegerVector } from '@duckdb/node-api';
import { Float64Lists } from '../data/column-items.js';
import { requireColumns } from '../data/parquet-columns.js';
import { queryFile, withDatabase } from '../data/query.js';
import { TableWriter } from '../data/table-writer.js';
import { DataError, OutputError } from '../errors.js';
import { copyToParquet, keyValueMetadata, parquetFiles } from '../files/duckdb-files.js';
import { requirePath } from '../files/path.js';
import { writeWholeFile } from '../files/whole.js';
import { type RolloutSample, type RolloutTable, rolloutHorizons } from './rollout.js';
import { finiteNumbers, finiteTimeSql, sampleColumns, sampleOf, UniqueSamples } from './state-rows.js';

const listNames = ['state', 'record_state', 'record_prediction'] as const;
// Null in the file.
const none = new Float32Array(0);

/**
 * Writes rollouts as parquet, one row for each sample and horizon: subject_id BIGINT, prediction_time TIMESTAMP,
 * horizon_days INTEGER, state FLOAT[] (the state now at horizon 0, the predicted one at others), record_state and
 * record_prediction FLOAT[] (null where the record holds nothing new).
 */
export async function writeRollout(
	path: string,
	table: RolloutTable,
	metadata: Readonly<Record<string, string>>,
): Promise<void> {
	requirePath('rollout', 'path', path);
	try {
		await writeWholeFile(path, (temporary) =>
			withDatabase({ threads: 1 }, async (database) => {
				const writer = await TableWriter.create(database, 'r', [
					['subject_id', BigInt64Array],
					['t', BigInt64Array],
					['horizon_days', Int32Array],
					...listNames.map((name) => [name, 'FLOAT[]'] as const),
				]);
				for (const [i, { sample, now, ahead }] of table.samples.entries()) {
					const record = ahead.map(({ record }) => record);
					const lists = [
						[now, ...ahead.map(({ predicted }) => predicted)],
						[none, ...record.map((given) => given?.state ?? none)],
						[none, ...record.map((given) => given?.predicted ?? none)],
					];
					const horizons = Int32Array.of(0, ...ahead.map(({ horizonDays }) => horizonDays));
					writer.append([sample.subjectId, sample.predictionTime, horizons, ...lists], 0, horizons.length);
					if (i % 256 === 0) await setImmediate();
				}
				await writer.finish();
				await database.run(
					copyToParquet(
						`SELECT subject_id, make_timestamp(t) AS prediction_time, horizon_days, state,
							nullif(record_state, []) AS record_state, nullif(record_prediction, []) AS record_prediction FROM r`,
						temporary,
						['COMPRESSION zstd', ...keyValueMetadata(metadata)],
					),
				);
			}),
		);
	} catch (cause) {
		if (cause instanceof DataError)
			throw new OutputError(`[rollout] ${path} could not be written: ${cause.message}`, { cause });
		throw cause;
	}
}

/** @throws {DataError} For a file without rollouts, or rows in another order than they were written in. */
export async function readRollout(path: string): Promise<RolloutTable> {
	requirePath('rollout', 'path', path);
	return queryFile('rollout', path, { threads: 1 }, async (database) => {
		await requireColumns(database, 'rollout', path, {
			...sampleColumns,
			horizon_days: 'a whole number',
			...Object.fromEntries(listNames.map((name) => [name, 'a list of numbers' as const])),
		});
		const unique = new UniqueSamples();
		const samples: (RolloutSample & { ahead: RolloutSample['ahead'][number][] })[] = [];
		let columns = 0;
		for await (const chunk of database.stream(
			`SELECT subject_id::BIGINT, ${finiteTimeSql}, horizon_days::INTEGER, state::DOUBLE[], record_state::DOUBLE[], record_prediction::DOUBLE[], file_row_number
			FROM ${parquetFiles(path, { rowNumbers: true })}`,
		)) {
			const subjects = chunk.getColumnVector(0) as DuckDBBigIntVector;
			const times = chunk.getColumnVector(1) as DuckDBBigIntVector;
			const horizons = chunk.getColumnVector(2) as DuckDBIntegerVector;
			const numbers = chunk.getColumnVector(6) as DuckDBBigIntVector;
			const lists = [3, 4, 5].map((i) => new Float64Lists(chunk, i));
			for (let row = 0; row < chunk.rowCount; row++) {
				const subjectId = subjects.getItem(row);
				const place = { scope: 'rollout', file: path, row: numbers.getItem(row)!, subjectId };
				const [state, recordState, recordPrediction] = lists.map((column, i) => {
					if (i > 0 && column.numbers(row) === undefined) return undefined;
					return finiteNumbers(place, listNames[i]!, column, row);
				});
				const sample = sampleOf(place, subjectId, times.getItem(row));
				const horizonDays = horizons.getItem(row)!;
				const last = samples.at(-1);
				if (columns === 0) columns = state?.length ?? 0;
				const belongs =
					last?.sample.subjectId === sample.subjectId && last.sample.predictionTime === sample.predictionTime;
				if (state?.length !== columns || columns === 0 || (horizonDays !== 0 && !belongs)) {
					throw new DataError('rollout', {
						file: path,
						column: 'state',
						rule: 'must hold states of one width, that of horizon 0 before the others of its sample',
						value: `${state?.length ?? 0} numbers at horizon ${horizonDays} of subject ${sample.subjectId}`,
					});
				}
				if (horizonDays === 0) {
					unique.add(place, sample);
					samples.push({ sample, now: state, ahead: [] });
				} else {
					const record =
						recordState === undefined || recordPrediction === undefined
							? null
							: { state: recordState, predicted: recordPrediction };
					last!.ahead.push({ horizonDays, predicted: state, record });
				}
			}
		}
		requireHorizons(path, samples);
		return { columns, samples };
	});
}

/** @throws {DataError} For a sample without one of the horizons, or with them in another order. */
function requireHorizons(path: string, samples: readonly RolloutSample[]): void {
	const expected = rolloutHorizons.join(', ');
	for (const { sample, ahead } of samples) {
		const found = ahead.map(({ horizonDays }) => horizonDays).join(', ');
		if (found === expected) continue;
		throw new DataError('rollout', {
			file: path,
			column: 'horizon_days',
			rule: `must be 0, ${expected} for each sample`,
			value: `0, ${found} for subject ${sample.subjectId}`,
		});
	}
}
