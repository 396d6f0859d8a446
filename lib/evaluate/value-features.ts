import type { DuckDBBigIntVector, DuckDBDoubleVector, DuckDBIntegerVector } from '@duckdb/node-api';
import type { IndexDateRow } from '../tasks/read.js';
import { microsecondsPerDay } from '../types.js';
import { type BaselineInput, lifeEventsSql, minPatients, withBaselineTables } from './baseline-tables.js';
import { countsOf } from './count-features.js';
import type { EvaluatedModel } from './evaluation-file.js';
import type { FeatureTable } from './features.js';

/** The recent windows of a value's means, longest first. */
const windowsDays = [365n, 120n] as const;
/** Of each code: last value, mean of all, of each window, slope. */
const columnsPerCode = 2 + windowsDays.length + 1;

export const valuesModel: EvaluatedModel = {
	name: 'counts+values',
	label: 'Counts and values',
	kind: 'counts',
	description:
		'the code counts, and of each code with numbers the last value, the means of all, of the last 365 and the last 120 days, and the slope; logistic or ridge regression',
};

/**
 * The harder baseline: what `countFeatures` has, and of each code that has numbers in five training patients its last
 * value, the mean of all values and of those of the last 365 and 120 days, and the slope over time. A window without values
 * takes the next longer one's mean; a patient without the code has the training patients' means, and slope 0. A row holds
 * nothing later than its prediction time.
 */
export async function valueFeatures(input: BaselineInput): Promise<FeatureTable> {
	const { indexDates, lifeCodes, signal } = input;
	return withBaselineTables(input, async (database) => {
		const counts = await countsOf(database, input);
		const valued = 'value IS NOT NULL AND time IS NOT NULL';
		await database.run(
			`CREATE TABLE valued AS SELECT code, (row_number() OVER (ORDER BY code) - 1)::INTEGER AS c FROM (
				SELECT code FROM events JOIN train USING (subject_id) WHERE ${valued} AND NOT ${lifeEventsSql(lifeCodes)}
				GROUP BY code HAVING count(DISTINCT subject_id) >= ${minPatients})`,
		);
		const [size] = await database.rows('SELECT count(*)::INTEGER AS n FROM valued');
		const codes = Number(size?.n ?? 0);
		const added = codes * columnsPerCode;
		const columns = counts.columns + added;
		const values = new Float32Array(indexDates.length * columns);
		for (let row = 0; row < indexDates.length; row++) {
			values.set(counts.values.subarray(row * counts.columns, (row + 1) * counts.columns), row * columns);
			values.fill(Number.NaN, row * columns + counts.columns, (row + 1) * columns);
		}
		const datesOf = new Map<bigint, [row: number, predictionTime: bigint][]>();
		for (const [row, { subjectId, predictionTime }] of indexDates.entries()) {
			const dates = datesOf.get(subjectId);
			if (dates === undefined) datesOf.set(subjectId, [[row, predictionTime]]);
			else dates.push([row, predictionTime]);
		}
		const history = new ValueHistory(codes);
		const readDates = (subject: bigint | undefined) => {
			for (const [row, predictionTime] of (subject === undefined ? undefined : datesOf.get(subject)) ?? [])
				history.read(predictionTime, values.subarray(row * columns + counts.columns, (row + 1) * columns));
		};
		let subject: bigint | undefined;
		// Values of one moment come in their own order, so that sums do not depend on how the rows were read.
		const rows = `SELECT subject_id, time, c, value::DOUBLE FROM events JOIN valued USING (code)
			WHERE ${valued} AND subject_id IN (SELECT subject_id FROM index_dates) ORDER BY 1, 2, 3, 4`;
		for await (const chunk of database.stream(rows, signal)) {
			const [subjects, times] = [0, 1].map((c) => chunk.getColumnVector(c) as DuckDBBigIntVector);
			const cells = chunk.getColumnVector(2) as DuckDBIntegerVector;
			const numbers = chunk.getColumnVector(3) as DuckDBDoubleVector;
			for (let row = 0; row < chunk.rowCount; row++) {
				const next = subjects!.getItem(row)!;
				if (next !== subject) {
					readDates(subject);
					history.clear();
					subject = next;
				}
				history.add(cells.getItem(row)!, times!.getItem(row)!, numbers.getItem(row)!);
			}
		}
		readDates(subject);
		fillWithTrainMeans(values, columns, counts.columns, indexDates);
		return { values, rows: indexDates.length, columns, samples: indexDates };
	});
}

/** Values of one subject by code, in the order of time. */
class ValueHistory {
	readonly #times: bigint[][];
	readonly #values: number[][];

	constructor(codes: number) {
		this.#times = Array.from({ length: codes }, () => []);
		this.#values = Array.from({ length: codes }, () => []);
	}

	clear(): void {
		for (const list of [...this.#times, ...this.#values]) list.length = 0;
	}

	add(code: number, time: bigint, value: number): void {
		this.#times[code]!.push(time);
		this.#values[code]!.push(value);
	}

	/** Features at a time, `columnsPerCode` a code; those of a code without values stay as they are. */
	read(predictionTime: bigint, into: Float32Array): void {
		for (const [code, times] of this.#times.entries()) {
			const known = countUpTo(times, predictionTime);
			if (known === 0) continue;
			const values = this.#values[code]!;
			const base = code * columnsPerCode;
			into[base] = values[known - 1]!;
			let mean = meanOf(values, 0, known);
			into[base + 1] = mean;
			for (const [i, days] of windowsDays.entries()) {
				const first = countUpTo(times, predictionTime - days * microsecondsPerDay);
				if (first < known) mean = meanOf(values, first, known);
				into[base + 2 + i] = mean;
			}
			into[base + columnsPerCode - 1] = slopeOf(times, values, known);
		}
	}
}

/** How many of ascending times are at most `limit`. */
function countUpTo(ascending: readonly bigint[], limit: bigint): number {
	let [low, high] = [0, ascending.length];
	while (low < high) {
		const middle = (low + high) >> 1;
		if (ascending[middle]! <= limit) low = middle + 1;
		else high = middle;
	}
	return low;
}

function meanOf(values: readonly number[], begin: number, end: number): number {
	let sum = 0;
	for (let i = begin; i < end; i++) sum += values[i]!;
	return sum / (end - begin);
}

/** Least squares, a year; 0 where all values are of one time. */
function slopeOf(times: readonly bigint[], values: readonly number[], count: number): number {
	const days = times.slice(0, count).map((time) => Number(time - times[0]!) / Number(microsecondsPerDay));
	const [meanDay, meanValue] = [meanOf(days, 0, count), meanOf(values, 0, count)];
	let [covariance, variance] = [0, 0];
	for (const [i, day] of days.entries()) {
		covariance += (day - meanDay) * (values[i]! - meanValue);
		variance += (day - meanDay) ** 2;
	}
	return variance === 0 ? 0 : (365.25 * covariance) / variance;
}

/** Puts the mean over training rows that have it in the place of what is missing; 0 for a slope. */
function fillWithTrainMeans(
	values: Float32Array,
	columns: number,
	first: number,
	indexDates: readonly IndexDateRow[],
): void {
	const [sums, counts] = [new Float64Array(columns), new Float64Array(columns)];
	const isSlope = (column: number) => (column - first) % columnsPerCode === columnsPerCode - 1;
	const forEachCell = (visit: (cell: number, column: number, isMissing: boolean, row: number) => void) => {
		for (let row = 0; row < indexDates.length; row++) {
			for (let column = first; column < columns; column++) {
				const cell = row * columns + column;
				visit(cell, column, Number.isNaN(values[cell]!), row);
			}
		}
	};
	forEachCell((cell, column, isMissing, row) => {
		if (isMissing || isSlope(column) || indexDates[row]!.split !== 'train') return;
		sums[column]! += values[cell]!;
		counts[column]!++;
	});
	forEachCell((cell, column, isMissing) => {
		if (isMissing) values[cell] = counts[column] === 0 ? 0 : sums[column]! / counts[column]!;
	});
}
