/** (place, count) of the counts that are not zero. */
export type SparseCounts = readonly (readonly [number, number])[];

export function sparse(counts: Float64Array): SparseCounts {
	return [...counts.entries()].filter(([, count]) => count > 0);
}

export function addSparse(total: Float64Array, counts: SparseCounts): void {
	for (const [place, count] of counts) total[place]! += count;
}
