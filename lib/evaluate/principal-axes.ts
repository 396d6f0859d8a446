import { setImmediate } from 'node:timers/promises';
import { RandomStream } from '../random.js';

export interface PrincipalAxes {
	/** (axes x columns) row-major, unit vectors, the strongest first; the largest component of each is positive. */
	readonly axes: Float64Array;
	/** (axes,) share of the total variance. */
	readonly explained: Float64Array;
}

/** Relative error of an axis at which the search ends. */
const tolerance = 1e-10;

/**
 * The strongest principal axes, by Lanczos' method with full reorthogonalisation: exact to rounding, the same each time, and
 * without the (columns x columns) matrix.
 *
 * @param values - (rows x columns) row-major, columns centred; at least one row.
 * @param count - Axes that are wanted; those that the values do not have are 0.
 */
export async function principalAxes(
	values: Float32Array,
	columns: number,
	count: number,
	signal?: AbortSignal,
): Promise<PrincipalAxes> {
	const rows = values.length / columns;
	const total = values.reduce((sum, value) => sum + value * value, 0) / rows;
	const axes = new Float64Array(count * columns);
	const explained = new Float64Array(count);
	if (total === 0) return { axes, explained };
	const random = new RandomStream(1, 'trajectories', 4);
	const fresh = () => Float64Array.from({ length: columns }, () => random.normal());
	const basis: Float64Array[] = [];
	const diagonal: number[] = [];
	const beside: number[] = [];
	let next: Float64Array = fresh();
	orthogonalise(next, basis);
	scale(next, 1 / norm(next));
	for (;;) {
		signal?.throwIfAborted();
		const current = next;
		basis.push(current);
		next = covarianceTimes(values, columns, current);
		diagonal.push(dot(next, current));
		orthogonalise(next, basis);
		let length = norm(next);
		const done = basis.length === columns;
		// Checked rarely: at first each few steps, later each tenth of what has been made.
		if (done || length < total * 1e-13 || basis.length % Math.max(8, Math.floor(basis.length / 8)) === 0) {
			const { values: found, vectors } = symmetricEigen(tridiagonal(diagonal, beside));
			const order = [...found.keys()].sort((a, b) => found[b]! - found[a]!).slice(0, count);
			const size = basis.length;
			const isExact =
				order.length === Math.min(count, columns) &&
				order.every((k) => length * Math.abs(vectors[k * size + size - 1]!) <= tolerance * found[order[0]!]!);
			// A block that closes in itself may hide an axis of equal strength: only the whole space is sure then.
			if (done || (isExact && length >= total * 1e-13)) {
				for (const [place, k] of order.entries()) {
					const axis = axes.subarray(place * columns, (place + 1) * columns);
					for (const [i, vector] of basis.entries()) addTo(axis, vector, vectors[k * size + i]!);
					orient(axis);
					explained[place] = Math.min(1, Math.max(0, found[k]!) / total);
				}
				return { axes, explained };
			}
		}
		if (length < total * 1e-13) {
			next = fresh();
			orthogonalise(next, basis);
			length = 0;
			scale(next, 1 / norm(next));
		} else scale(next, 1 / length);
		beside.push(length);
		await setImmediate();
	}
}

/** (X^T X / rows) v */
function covarianceTimes(values: Float32Array, columns: number, vector: Float64Array): Float64Array {
	const result = new Float64Array(columns);
	const rows = values.length / columns;
	for (let start = 0; start < values.length; start += columns) {
		let projected = 0;
		for (let i = 0; i < columns; i++) projected += values[start + i]! * vector[i]!;
		projected /= rows;
		for (let i = 0; i < columns; i++) result[i]! += projected * values[start + i]!;
	}
	return result;
}

function dot(a: Float64Array, b: Float64Array): number {
	let sum = 0;
	for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
	return sum;
}
const norm = (a: Float64Array) => Math.sqrt(dot(a, a));
function scale(a: Float64Array, factor: number): void {
	for (let i = 0; i < a.length; i++) a[i]! *= factor;
}
function addTo(a: Float64Array, b: Float64Array, factor: number): void {
	for (let i = 0; i < a.length; i++) a[i]! += factor * b[i]!;
}
/** Twice, since once leaves an error that grows. */
function orthogonalise(vector: Float64Array, basis: readonly Float64Array[]): void {
	for (let round = 0; round < 2; round++) for (const other of basis) addTo(vector, other, -dot(vector, other));
}
function orient(axis: Float64Array): void {
	let largest = 0;
	for (const value of axis) if (Math.abs(value) > Math.abs(largest)) largest = value;
	if (largest < 0) scale(axis, -1);
}

function tridiagonal(diagonal: readonly number[], beside: readonly number[]): Float64Array {
	const size = diagonal.length;
	const matrix = new Float64Array(size * size);
	for (let i = 0; i < size; i++) {
		matrix[i * size + i] = diagonal[i]!;
		if (i + 1 < size) matrix[i * size + i + 1] = matrix[(i + 1) * size + i] = beside[i]!;
	}
	return matrix;
}

/** Eigenvalues, and eigenvectors as rows, of a symmetric matrix by Jacobi rotations. @internal */
export function symmetricEigen(matrix: Float64Array): {
	readonly values: Float64Array;
	readonly vectors: Float64Array;
} {
	const size = Math.sqrt(matrix.length);
	const a = matrix.slice();
	const vectors = new Float64Array(size * size);
	for (let i = 0; i < size; i++) vectors[i * size + i] = 1;
	const largest = matrix.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
	for (let sweep = 0; sweep < 60; sweep++) {
		let rotated = false;
		for (let p = 0; p < size; p++) {
			for (let q = p + 1; q < size; q++) {
				const off = a[p * size + q]!;
				if (Math.abs(off) <= 1e-16 * largest) continue;
				rotated = true;
				const theta = (a[q * size + q]! - a[p * size + p]!) / (2 * off);
				const t = (theta >= 0 ? 1 : -1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1));
				const c = 1 / Math.sqrt(t * t + 1);
				const s = t * c;
				for (let k = 0; k < size; k++) {
					const [kp, kq] = [a[k * size + p]!, a[k * size + q]!];
					a[k * size + p] = c * kp - s * kq;
					a[k * size + q] = s * kp + c * kq;
				}
				for (let k = 0; k < size; k++) {
					const [pk, qk] = [a[p * size + k]!, a[q * size + k]!];
					a[p * size + k] = c * pk - s * qk;
					a[q * size + k] = s * pk + c * qk;
					const [vp, vq] = [vectors[p * size + k]!, vectors[q * size + k]!];
					vectors[p * size + k] = c * vp - s * vq;
					vectors[q * size + k] = s * vp + c * vq;
				}
			}
		}
		if (!rotated) break;
	}
	return { values: Float64Array.from({ length: size }, (_, i) => a[i * size + i]!), vectors };
}
