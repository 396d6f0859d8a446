import { lockNewFile, lockTarget, type WriteLock } from '../files/lock.js';

/** One of several jobs that do a work together: `index` from 1 to `of`. */
export interface Shard {
	readonly index: number;
	readonly of: number;
}

/** How the pieces of a work are divided among processes: {@link alone}, or made by `divideWork`. */
export interface WorkDivision {
	/** Whether this process writes the result, and so gets every piece. */
	readonly writes: boolean;
	/**
	 * The right to do this process's part of a file.
	 *
	 * @param options.replace - The file may be there.
	 * @throws {OutputError} When it is, or another process does the same part.
	 */
	claim(path: string, options?: { readonly replace?: boolean }): Promise<Disposable>;
	/**
	 * To be called once, before the first piece.
	 *
	 * @param key - All that decides what the pieces are: processes with other keys do not work together.
	 * @throws {OutputError} When another process began with another key, or a shard is missing; names it. {RankError}
	 */
	begin(key: Readonly<Record<string, unknown>>): Promise<void>;
	/** Which items of a list are computed here, for work that begins on the next one while it is busy with another. */
	own<Item>(items: readonly Item[]): readonly Item[];
	/**
	 * Goes through pieces in their order. Every process calls it with the same ones.
	 *
	 * @param items - Makes them; may be called twice.
	 * @param compute - The result of one, such as a structured clone takes. Called for those that are computed here.
	 * @returns Each item with its result; undefined where another process has it and this one does not write.
	 */
	each<Item, Result>(
		items: () => AsyncIterable<Item> | Iterable<Item>,
		compute: (item: Item) => Promise<Result>,
	): AsyncGenerator<readonly [item: Item, result: Result | undefined], void, undefined>;
	/** To be called at the end, when the result is written if this process does. */
	finish(): Promise<void>;
}

/** All of it in one process. */
export const alone: WorkDivision = {
	writes: true,
	claim: (path, { replace = false } = {}) => claimWhole(path, replace),
	begin: async () => {},
	own: (items) => items,
	async *each(items, compute) {
		for await (const item of items()) yield [item, await compute(item)];
	},
	finish: async () => {},
};

/** The right to write a whole file. */
export async function claimWhole(path: string, replace: boolean): Promise<WriteLock> {
	return replace ? lockTarget(path) : lockNewFile(path);
}
