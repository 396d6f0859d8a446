import { rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { ConfigError, OutputError } from '../errors.js';
import { exists, requireAbsent } from '../files/exists.js';
import { readJson } from '../files/json.js';
import { lockTarget } from '../files/lock.js';
import { realTarget, removeUnfinishedIn } from '../files/names.js';
import { readValues, writeValues } from '../files/value-file.js';
import { makeFolder, writeWhole } from '../files/whole.js';
import { isObject, shown } from '../found.js';
import { packageVersion } from '../package-version.js';
import { differenceAt } from './agreement.js';
import type { ProcessGroup } from './process-group.js';
import { alone, claimWhole, type Shard, type WorkDivision } from './work-division.js';

/** Who takes part: one of several jobs that know nothing of one another, the one that joins their results, or the ranks of a group. */
export type DivideOptions =
	| { readonly shard: Shard }
	| { readonly assemble: true }
	| { readonly group: ProcessGroup | undefined };

/**
 * Divides a work that ends in one file among processes that share a file system: each leaves its results in a hidden folder beside
 * the file, in files that are whole, and one of them reads them all. What a process that died had done is kept; it is started
 * again with the same options.
 *
 * @param scope - Names the caller in messages.
 * @param out - The file that is written in the end; the same for all.
 * @param how - Without a group: {@link alone}.
 * @throws {ConfigError} For a shard that cannot be.
 */
export function divideWork(scope: string, out: string, how: DivideOptions): WorkDivision {
	if ('group' in how) return how.group === undefined ? alone : new DividedWork(scope, out, { group: how.group });
	if ('assemble' in how) return new DividedWork(scope, out, {});
	const { index, of } = how.shard;
	if (!(Number.isSafeInteger(of) && Number.isSafeInteger(index) && index >= 1 && index <= of && of <= 100_000))
		throw new ConfigError(
			`[${scope}] the shard must be i/n with i from 1 to n, whole numbers up to 100000, but is ${index}/${of}`,
		);
	return new DividedWork(scope, out, { shard: how.shard });
}

class DividedWork implements WorkDivision {
	readonly writes: boolean;
	readonly #scope: string;
	readonly #out: string;
	readonly #group: ProcessGroup | undefined;
	/** Undefined for one that computes nothing. */
	readonly #shard: Shard | undefined;
	/** Known to one that assembles when it has begun. */
	#of: number;
	#calls = 0;

	constructor(
		scope: string,
		out: string,
		{ shard, group }: { readonly shard?: Shard; readonly group?: ProcessGroup | undefined },
	) {
		this.#scope = scope;
		this.#out = out;
		this.#group = group;
		this.#shard = group === undefined ? shard : { index: group.rank + 1, of: group.size };
		this.#of = this.#shard?.of ?? 0;
		this.writes = group === undefined ? shard === undefined : group.rank === 0;
	}

	async claim(path: string, { replace = false } = {}): Promise<Disposable> {
		if (this.writes) return claimWhole(path, replace);
		// What is there, rank 0 finds.
		if (this.#group !== undefined) return { [Symbol.dispose]: () => {} };
		if (!replace) await requireAbsent(path);
		return lockTarget(`${path}.shard-${this.#shard!.index}-of-${this.#of}`);
	}

	async begin(key: Readonly<Record<string, unknown>>): Promise<void> {
		const begin = async () => {
			if (this.#shard === undefined) return this.#beginAssembling(key);
			await makeFolder(this.#folder);
			// Whoever comes first: the same bytes.
			if (!(await exists(this.#plan))) await writeWhole(this.#plan, JSON.stringify(this.#planOf(key)));
			await this.#requirePlan(key);
		};
		if (this.#group === undefined) return begin();
		await this.#group.requireSame(key);
		await this.#group.fromFirst(begin);
		if (!this.writes) await this.#requirePlan(key);
	}

	own<Item>(items: readonly Item[]): readonly Item[] {
		return items.filter((_, number) => this.#isOwn(number));
	}

	async *each<Item, Result>(
		items: () => AsyncIterable<Item> | Iterable<Item>,
		compute: (item: Item) => Promise<Result>,
	): AsyncGenerator<readonly [item: Item, result: Result | undefined], void, undefined> {
		const call = ++this.#calls;
		const fileOf = (index: number) => join(this.#folder, `${call}.${index}-of-${this.#of}`);
		if (this.#shard !== undefined && !(await exists(fileOf(this.#shard.index))))
			await writeValues(fileOf(this.#shard.index), this.#ownResults(items, compute));
		await this.#group?.exchange(null);
		if (!this.writes) {
			for await (const item of items()) yield [item, undefined];
			return;
		}
		const files = Array.from({ length: this.#of }, (_, i) => fileOf(i + 1));
		const results = files.map(readValues);
		try {
			let number = 0;
			for await (const item of items()) {
				const place = number++ % this.#of;
				const next = await results[place]!.next();
				if (next.done) throw this.#short(files[place]!);
				yield [item, next.value as Result];
			}
		} finally {
			for (const result of results) await result.return();
		}
	}

	async finish(): Promise<void> {
		if (this.writes) await rm(this.#folder, { recursive: true, force: true });
		else if (this.#group === undefined) await writeWhole(this.#done(this.#shard!.index), '');
		await this.#group?.exchange(null);
	}

	async *#ownResults<Item, Result>(
		items: () => AsyncIterable<Item> | Iterable<Item>,
		compute: (item: Item) => Promise<Result>,
	): AsyncGenerator<Result> {
		let number = 0;
		for await (const item of items()) {
			this.#group?.signal.throwIfAborted();
			if (this.#isOwn(number++)) yield await compute(item);
		}
	}

	#isOwn(number: number): boolean {
		return this.#shard !== undefined && number % this.#of === this.#shard.index - 1;
	}

	get #folder(): string {
		const path = realTarget(this.#out);
		return join(dirname(path), `.${basename(path)}.shards`);
	}
	get #plan(): string {
		return join(this.#folder, 'plan.json');
	}
	#done(index: number): string {
		return join(this.#folder, `done.${index}-of-${this.#of}`);
	}
	#planOf(key: Readonly<Record<string, unknown>>) {
		return { package: packageVersion, shards: this.#of, ...key };
	}

	async #beginAssembling(key: Readonly<Record<string, unknown>>): Promise<void> {
		const plan = (await exists(this.#plan)) ? await this.#readPlan() : undefined;
		if (!isObject(plan) || typeof plan.shards !== 'number')
			throw new OutputError(
				`[${this.#scope}] ${this.#out} must have been begun but ${this.#plan} is not there; run its shards first`,
			);
		this.#of = plan.shards;
		await this.#requirePlan(key);
		const missing: string[] = [];
		for (let index = 1; index <= this.#of; index++)
			if (!(await exists(this.#done(index)))) missing.push(`--shard ${index}/${this.#of}`);
		if (missing.length > 0)
			throw new OutputError(
				`[${this.#scope}] all ${this.#of} shards of ${this.#out} must be done to be assembled but ${missing.length} ${missing.length === 1 ? 'is' : 'are'} not; run ${missing.slice(0, 10).join(', ')}${missing.length > 10 ? ', ...' : ''}`,
			);
		await removeUnfinishedIn(this.#folder);
	}

	#readPlan(): Promise<unknown> {
		return readJson(this.#plan, {
			scope: this.#scope,
			rule: 'must be there for all processes, on a file system that they share',
		});
	}

	/** @throws {OutputError} When others have begun with another key. */
	async #requirePlan(key: Readonly<Record<string, unknown>>): Promise<void> {
		const difference = differenceAt(await this.#readPlan(), this.#planOf(key), '');
		if (difference === undefined) return;
		const { path, found, first } = difference;
		throw new OutputError(
			`[${this.#scope}] ${path} must be the same for all shards of ${this.#out} but was ${shown(found)} when they were begun and is ${shown(first)} now; run all alike, or remove ${this.#folder}`,
		);
	}

	#short(file: string): OutputError {
		return new OutputError(
			`[${this.#scope}] ${file} must hold the results of its shard but holds fewer; remove ${this.#folder} and run the shards again`,
		);
	}
}
