/** Letters to add, drop or change to make one word the other (Levenshtein's distance). */
export function editDistance(a: string, b: string): number {
	let row = Array.from({ length: b.length + 1 }, (_, j) => j);
	for (let i = 1; i <= a.length; i++) {
		const next = [i];
		for (let j = 1; j <= b.length; j++) {
			const changed = a[i - 1] === b[j - 1] ? 0 : 1;
			next.push(Math.min(next[j - 1]! + 1, row[j]! + 1, row[j - 1]! + changed));
		}
		row = next;
	}
	return row[b.length]!;
}
