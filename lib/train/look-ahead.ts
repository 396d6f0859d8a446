/** An item and, where it is known, the one behind it. */
export interface WithNext<T> {
	readonly item: T;
	readonly next: T | undefined;
}

/**
 * The same items in the same order. With `ahead` each waits for the one behind it: what makes items is then one further, and
 * an error of it comes behind the last item that it made all the same.
 */
export async function* withNext<T>(items: AsyncGenerator<T>, ahead: boolean): AsyncGenerator<WithNext<T>> {
	try {
		let current = await items.next();
		while (!current.done) {
			const following = ahead ? items.next() : undefined;
			const next = await following?.catch(() => undefined);
			yield { item: current.value, next: next === undefined || next.done ? undefined : next.value };
			current = await (following ?? items.next());
		}
	} finally {
		await items.return(undefined);
	}
}
