import type { Float64Lists } from '../data/column-items.js';
import { DataError } from '../errors.js';
import { sampleKey } from '../tasks/read.js';
import type { IndexDate } from '../types.js';

/** SQL of prediction_time in microseconds; null where it is null or infinite. */
export const finiteTimeSql = 'CASE WHEN isfinite(prediction_time) THEN epoch_us(prediction_time) END';

/** Columns of every file of states. */
export const sampleColumns = { subject_id: 'a whole number', prediction_time: 'a timestamp' } as const;

/** Where a row of states lies. */
export interface RowPlace {
	readonly scope: string;
	readonly file: string;
	readonly row: number | bigint;
	readonly subjectId?: bigint | null | undefined;
}

/** Refuses a row: names file, row and subject, and never a value. */
function refuseRow({ scope, file, row, subjectId }: RowPlace, column: string, rule: string, value: string): never {
	const subject = subjectId === undefined || subjectId === null ? '' : `, subject ${subjectId}`;
	throw new DataError(scope, { file, column, rule, value: `${value} in row ${row}${subject}` });
}

/** The sample of a row. @throws {DataError} For a null. */
export function sampleOf(place: RowPlace, subjectId: bigint | null, predictionTime: bigint | null): IndexDate {
	if (subjectId === null) return refuseRow(place, 'subject_id', 'must not be null', 'null');
	if (predictionTime === null)
		return refuseRow(place, 'prediction_time', 'must not be null or infinite', 'one of both');
	return { subjectId, predictionTime };
}

/**
 * The numbers of a list as float32: each is there and finite, so that nothing behind needs to ask again.
 *
 * @param row - Of the chunk; `place` has the row of the file.
 */
export function finiteNumbers(place: RowPlace, column: string, lists: Float64Lists, row: number): Float32Array {
	const numbers = lists.numbers(row);
	if (numbers === undefined) return refuseRow(place, column, 'must not be null', 'null');
	const missing = lists.firstNull(row);
	if (missing >= 0) refuseRow(place, column, 'must hold numbers', `null at place ${missing}`);
	const rounded = Float32Array.from(numbers);
	requireFinite(place, column, rounded, numbers);
	return rounded;
}

/** @param exact - The numbers before they were rounded: what the message tells apart. */
export function requireFinite(
	place: RowPlace,
	column: string,
	rounded: Float32Array,
	exact: Float32Array | Float64Array = rounded,
): void {
	const at = rounded.findIndex((number) => !Number.isFinite(number));
	if (at < 0) return;
	refuseRow(place, column, 'must hold finite numbers that fit float32', `${beyond(exact[at]!)} at place ${at}`);
}

function beyond(value: number): string {
	return Number.isNaN(value) ? 'NaN' : Number.isFinite(value) ? 'a larger number' : 'infinity';
}

/** Refuses the second row of a sample: nobody can tell which is right. */
export class UniqueSamples {
	readonly #rows = new Map<string, number | bigint>();

	/** @throws {DataError} */
	add(place: RowPlace, sample: IndexDate): void {
		const key = sampleKey(sample);
		const first = this.#rows.get(key);
		if (first !== undefined) {
			refuseRow(place, 'prediction_time', 'must occur once for a subject', `the sample of row ${first} again`);
		}
		this.#rows.set(key, place.row);
	}
}

/**
 * Whether columns of float64 keep their differences as float32: a timestamp, or numbers of 1e-50, would all become one
 * value, and a probe on them would find nothing.
 */
export class Float32Precision {
	readonly #low: Float64Array;
	readonly #high: Float64Array;
	readonly #error: Float64Array;

	constructor(columns: number) {
		this.#low = new Float64Array(columns).fill(Infinity);
		this.#high = new Float64Array(columns).fill(-Infinity);
		this.#error = new Float64Array(columns);
	}

	add(row: Float64Array, rounded: Float32Array): void {
		for (let i = 0; i < row.length; i++) {
			const value = row[i]!;
			this.#low[i] = Math.min(this.#low[i]!, value);
			this.#high[i] = Math.max(this.#high[i]!, value);
			this.#error[i] = Math.max(this.#error[i]!, Math.abs(value - rounded[i]!));
		}
	}

	/** @throws {DataError} When rounding is a hundredth of a column's range or more. */
	check({ scope, file }: Pick<RowPlace, 'scope' | 'file'>, column: string): void {
		// A column of one value has no differences to lose.
		const ranges = this.#high.map((high, i) => high - this.#low[i]!);
		const lost = this.#error.findIndex((error, i) => ranges[i]! > 0 && error >= ranges[i]! / 100);
		if (lost < 0) return;
		throw new DataError(scope, {
			file,
			column,
			rule: 'must hold numbers that still differ as float32',
			value: `place ${lost}, where rounding takes what tells the rows apart`,
			fix: 'subtract the mean of each place and scale it',
		});
	}
}
