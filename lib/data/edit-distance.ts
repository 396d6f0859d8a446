/** Letters to add, drop, change or exchange with their neighbour to make one word the other (optimal string alignment). */
export function editDistance(a: string, b: string): number {
	let before: number[] = [];
	let row = Array.from({ length: b.length + 1 }, (_, j) => j);
	for (let i = 1; i <= a.length; i++) {
		const next = [i];
		for (let j = 1; j <= b.length; j++) {
			const changed = a[i - 1] === b[j - 1] ? 0 : 1;
			const exchanged = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
			next.push(
				Math.min(next[j - 1]! + 1, row[j]! + 1, row[j - 1]! + changed, exchanged ? before[j - 2]! + 1 : Infinity),
			);
		}
		[before, row] = [row, next];
	}
	return row[b.length]!;
}
