/**
 * Works on items one after the other; the work on the next one has begun while the caller is busy with the last. Each result is
 * handed over in the order of the items, and whoever stops early waits for what was begun.
 *
 * @throws What `work` throws, for the item that it is of.
 */
export async function* ahead<Item, Result>(
	items: readonly Item[],
	work: (item: Item) => Promise<Result>,
): AsyncGenerator<readonly [item: Item, result: Result], void, undefined> {
	const begin = (i: number) => {
		const begun = i < items.length ? work(items[i]!) : undefined;
		// Whoever awaits it is told; until then a failure is nobody's.
		begun?.catch(() => {});
		return begun;
	};
	let next = begin(0);
	try {
		for (const [i, item] of items.entries()) {
			const result = (await next)!;
			next = begin(i + 1);
			yield [item, result];
		}
	} finally {
		await next?.catch(() => {});
	}
}
