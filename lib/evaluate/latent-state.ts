import type { DuckDBFloatVector, DuckDBIntegerVector } from '@duckdb/node-api';
import { requireColumns } from '../data/parquet-columns.js';
import { type Database, identifier, queryFile } from '../data/query.js';
import { DataError } from '../errors.js';
import { parquetFiles } from '../files/duckdb-files.js';
import { parquetPaths } from '../files/visible-files.js';
import { nativeAddon, nativeCall } from '../native.js';
import type { IndexDateRow } from '../tasks/read.js';
import { sampleKey } from '../tasks/read.js';
import { dayOf } from '../text/calendar.js';
import { type Split, splits } from '../types.js';
import { type FeatureTable, linear, Standardiser, selectRows } from './features.js';
import { definedValue, rSquared } from './metrics.js';
import { chosenPenalty } from './penalties.js';

/** Days after the index date at which the true state is predicted; 0 is the present. */
export const latentHorizons = [0, 30, 180, 365] as const;
/** Strengths that are tried; the one with the best R² on tuning is taken. */
const l2Grid = [1e-4, 1e-3, 1e-2, 1e-1, 1] as const;
/** Taken when tuning cannot tell them apart. */
const l2Default = 0.1;

/** True latent state of samples at one horizon. */
export interface LatentTargets {
	readonly axes: readonly string[];
	readonly horizonDays: number;
	/** Samples whose patient is simulated at that day, with their state (axes,). */
	readonly samples: readonly { readonly sample: IndexDateRow; readonly state: Float32Array }[];
}

/**
 * Reads `latents/` of a simulated cohort; a patient who died or left before the day, or whose state was not written, has no
 * state there.
 *
 * @param passedOver - Receives the hidden files.
 */
export async function readLatents(
	folder: string,
	indexDates: readonly IndexDateRow[],
	passedOver: string[] = [],
): Promise<LatentTargets[]> {
	const paths = await parquetPaths('evaluate', folder, passedOver);
	const files = parquetFiles(paths);
	return queryFile('evaluate', folder, {}, async (database) => {
		const axes = await latentAxes(database, paths);
		await database.run('CREATE TABLE index_dates (i INTEGER, subject_id BIGINT, day INTEGER)');
		const appender = await database.connection.createAppender('index_dates');
		for (const [i, { subjectId, predictionTime }] of indexDates.entries()) {
			appender.appendInteger(i);
			appender.appendBigInt(subjectId);
			appender.appendInteger(dayOf(predictionTime));
			appender.endRow();
		}
		appender.closeSync();
		const targets: LatentTargets[] = [];
		for (const horizonDays of latentHorizons) {
			const samples: { sample: IndexDateRow; state: Float32Array }[] = [];
			const list = axes.map((axis) => `l.${identifier(axis)}::FLOAT`).join(', ');
			const sql = `SELECT i.i, ${list} FROM index_dates i JOIN ${files} l
				ON l.subject_id = i.subject_id AND l.day = i.day + ${horizonDays} ORDER BY i.i`;
			for await (const chunk of database.stream(sql)) {
				const rows = chunk.getColumnVector(0) as DuckDBIntegerVector;
				const vectors = axes.map((_, k) => chunk.getColumnVector(k + 1) as DuckDBFloatVector);
				for (let row = 0; row < chunk.rowCount; row++) {
					const sample = indexDates[rows.getItem(row)!]!;
					const state = Float32Array.from(vectors, (vector) => vector.getItem(row) ?? Number.NaN);
					if (!state.every(Number.isFinite)) {
						throw new DataError('evaluate', {
							file: folder,
							rule: 'must hold a finite true state',
							value: `none for subject ${sample.subjectId}, ${horizonDays} days after day ${dayOf(sample.predictionTime)}`,
							fix: 'simulate the cohort again',
						});
					}
					samples.push({ sample, state });
				}
			}
			targets.push({ axes, horizonDays, samples });
		}
		return targets;
	});
}

/** Names of the axes, the same in each file. @throws {DataError} For a file with other columns. */
async function latentAxes(database: Database, paths: readonly string[]): Promise<string[]> {
	const keys = { subject_id: 'a whole number', day: 'a whole number' } as const;
	const columns = await requireColumns(database, 'evaluate', paths[0]!, keys);
	const axes = columns.map(({ name }) => name).filter((name) => !Object.hasOwn(keys, name));
	const numbers = Object.fromEntries(axes.map((axis) => [axis, 'a number' as const]));
	for (const path of paths) await requireColumns(database, 'evaluate', path, { ...keys, ...numbers });
	if (axes.length > 0) return axes;
	throw new DataError('evaluate', {
		file: paths[0]!,
		rule: 'must have columns of true states',
		value: 'none beside subject_id and day',
		fix: 'simulate the cohort again',
	});
}

export interface LatentPredictions {
	readonly l2: number;
	/** (rows x axes) of held-out samples that have features. */
	readonly predicted: Float64Array;
	readonly truth: Float32Array;
	readonly patients: readonly bigint[];
	readonly rows: number;
	/** The probe on other states: (rows x columns) -> (rows x axes). */
	readonly apply: (values: Float32Array) => Float64Array;
}

/** Ridge probe of all axes at once; L2 chosen on tuning. Undefined with the reason when a split has no samples. */
export async function fitLatentProbe(
	table: FeatureTable,
	rowOf: ReadonlyMap<string, number>,
	targets: LatentTargets,
): Promise<LatentPredictions | { readonly undefinedReason: string }> {
	const axes = targets.axes.length;
	const bySplit: Record<Split, { rows: number[]; states: number[]; patients: bigint[] }> = {
		train: { rows: [], states: [], patients: [] },
		tuning: { rows: [], states: [], patients: [] },
		held_out: { rows: [], states: [], patients: [] },
	};
	for (const { sample, state } of targets.samples) {
		const row = rowOf.get(sampleKey(sample));
		if (row === undefined) continue;
		const split = bySplit[sample.split];
		split.rows.push(row);
		split.states.push(...state);
		split.patients.push(sample.subjectId);
	}
	for (const split of splits)
		if (bySplit[split].rows.length === 0) return { undefinedReason: `no samples in ${split}` };
	const train = selectRows(table, bySplit.train.rows);
	const standardiser = new Standardiser(train, table.columns);
	const { weights } = await nativeCall(() =>
		nativeAddon().fitRidge({
			features: standardiser.apply(train),
			rows: bySplit.train.rows.length,
			columns: table.columns,
			targets: Float32Array.from(bySplit.train.states),
			outputs: axes,
			l2: Float64Array.from(l2Grid),
		}),
	);
	const apply = (features: Float32Array, penalty: number): Float64Array => {
		const values = standardiser.apply(features);
		const rows = features.length / table.columns;
		const result = new Float64Array(rows * axes);
		for (let axis = 0; axis < axes; axis++) {
			const start = (penalty * axes + axis) * (table.columns + 1);
			const column = linear(values, table.columns, weights.subarray(start, start + table.columns + 1));
			for (let row = 0; row < rows; row++) result[row * axes + axis] = column[row]!;
		}
		return result;
	};
	const predict = (split: Split, penalty: number) => apply(selectRows(table, bySplit[split].rows), penalty);
	const tuningRows = bySplit.tuning.rows.length;
	const ones = new Float64Array(tuningRows).fill(1);
	const best = chosenPenalty('latent state', { l2: l2Grid, otherwise: l2Default }, (penalty) =>
		definedValue(rSquared(predict('tuning', penalty), bySplit.tuning.states, tuningRows, axes, ones)),
	);
	return {
		l2: l2Grid[best]!,
		predicted: predict('held_out', best),
		truth: Float32Array.from(bySplit.held_out.states),
		patients: bySplit.held_out.patients,
		rows: bySplit.held_out.rows.length,
		apply: (values) => apply(values, best),
	};
}
