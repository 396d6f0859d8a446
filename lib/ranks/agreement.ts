import { RankError } from '../errors.js';
import { isObject, shown } from '../found.js';

/**
 * Where the values of ranks differ: the first field, of the first rank that has another value than rank 0.
 *
 * @param values - One JSON value per rank.
 */
function firstDifference(
	values: readonly unknown[],
): { rank: number; path: string; found: unknown; first: unknown } | undefined {
	for (const [rank, value] of values.entries()) {
		const difference = differenceAt(value, values[0], '');
		if (difference !== undefined) return { rank, ...difference };
	}
	return undefined;
}

/** The first field in which two JSON values differ; undefined where they are the same. */
export function differenceAt(
	found: unknown,
	first: unknown,
	path: string,
): { path: string; found: unknown; first: unknown } | undefined {
	if (isObject(found) && isObject(first)) {
		for (const key of new Set([...Object.keys(first), ...Object.keys(found)])) {
			const inner = differenceAt(found[key], first[key], path === '' ? key : `${path}.${key}`);
			if (inner !== undefined) return inner;
		}
		return undefined;
	}
	return JSON.stringify(found) === JSON.stringify(first) ? undefined : { path, found, first };
}

/** @throws {RankError} When ranks differ: names the first that does, and the field. */
export function requireEqual(values: readonly unknown[]): void {
	const difference = firstDifference(values);
	if (difference === undefined) return;
	const { rank, path, found, first } = difference;
	throw new RankError(
		`[ranks] ${path} must be the same for all ranks but is ${shown(found)} on rank ${rank} and ${shown(first)} on rank 0; start all ranks with one command, on machines with one version and the same files`,
	);
}
