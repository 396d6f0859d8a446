import type { IndexDate } from '../types.js';

/** One row of numbers per sample. */
export interface FeatureTable {
	/** (rows x columns) row-major. */
	readonly values: Float32Array;
	readonly rows: number;
	readonly columns: number;
	/** (rows,) which sample each row belongs to. */
	readonly samples: readonly IndexDate[];
}

/** Rows of a table by position, row-major. */
export function selectRows(table: FeatureTable, rows: readonly number[]): Float32Array {
	const result = new Float32Array(rows.length * table.columns);
	for (const [i, row] of rows.entries()) {
		result.set(table.values.subarray(row * table.columns, (row + 1) * table.columns), i * table.columns);
	}
	return result;
}

/** Standard deviations from the mean at which a value is clipped. */
export const largestStandardised = 10;

/** Means and deviations of columns, fitted on training rows alone. */
export class Standardiser {
	readonly #mean: Float64Array;
	readonly #scale: Float64Array;

	/** @param values - (rows x columns) row-major; at least one row. */
	constructor(values: Float32Array, columns: number) {
		const rows = values.length / columns;
		this.#mean = new Float64Array(columns);
		this.#scale = new Float64Array(columns);
		const [low, high] = [values.slice(0, columns), values.slice(0, columns)];
		for (let i = 0; i < values.length; i++) {
			const column = i % columns;
			low[column] = Math.min(low[column]!, values[i]!);
			high[column] = Math.max(high[column]!, values[i]!);
		}
		for (let i = 0; i < values.length; i++) this.#mean[i % columns]! += values[i]! / rows;
		for (let i = 0; i < values.length; i++)
			this.#scale[i % columns]! += (values[i]! - this.#mean[i % columns]!) ** 2 / rows;
		// A constant column says nothing: it becomes 0 instead of a division by zero. However small, others count.
		this.#scale = this.#scale.map((variance, column) => (low[column] === high[column] ? 0 : 1 / Math.sqrt(variance)));
	}

	/** (columns,) what is taken from each value, and what the rest is multiplied by. */
	get mean(): Float64Array {
		return this.#mean.slice();
	}
	get scale(): Float64Array {
		return this.#scale.slice();
	}

	apply(values: Float32Array): Float32Array {
		const columns = this.#mean.length;
		// Clipped: one absurd value in held-out must not decide a prediction.
		return values.map((value, i) =>
			Math.max(
				-largestStandardised,
				Math.min(largestStandardised, (value - this.#mean[i % columns]!) * this.#scale[i % columns]!),
			),
		);
	}
}

/** Linear predictor of each row. @param weights - (columns + 1,), the intercept last. */
export function linear(values: Float32Array, columns: number, weights: ArrayLike<number>): Float64Array {
	const rows = values.length / columns;
	const result = new Float64Array(rows);
	for (let row = 0; row < rows; row++) {
		let sum = weights[columns]!;
		for (let column = 0; column < columns; column++) sum += values[row * columns + column]! * weights[column]!;
		result[row] = sum;
	}
	return result;
}
