import { readdir, readFile, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { AbortedError, OutputError } from '../errors.js';
import type { LongOperation } from '../types.js';
import { exists, requireEmptyFolder } from './exists.js';
import { lockTarget } from './lock.js';
import { realTarget } from './names.js';
import { sync, syncTree } from './sync.js';
import { makeFolder, writeWhole } from './whole.js';
import { underName } from './write-errors.js';

/**
 * Runs `work` on an unfinished folder beside `out` and renames it when it is complete, so that a folder with that name is
 * whole. A run that was killed or aborted leaves `.<name>.partial`; the next one with the same `plan` continues in it, one
 * with another plan starts anew. After an error nothing is left.
 *
 * @param plan - Everything that decides what is written.
 * @param options.begun - It must have been begun with this plan, and stays after an error: several processes have worked in it.
 * @throws {OutputError} When `out` is not empty, or another is writing it. And what `work` throws.
 */
export async function writePartialFolder<T>(
	out: string,
	plan: string,
	work: (folder: string) => Promise<T>,
	{ onWarning, begun = false }: { readonly onWarning?: LongOperation['onWarning']; readonly begun?: boolean } = {},
): Promise<T> {
	await requireEmptyFolder(out);
	using _lock = lockTarget(out);
	await requireEmptyFolder(out);
	const path = realTarget(out);
	const partial = partialOf(path);
	let keep = false;
	if (begun) await requirePlan(out, partial, plan);
	try {
		const found = await readFile(join(partial, 'plan'), 'utf8').catch(() => undefined);
		if (found !== plan) {
			if (found !== undefined) onWarning?.(`${partial} was begun with other data or options and is started anew`);
			await rm(partial, { recursive: true, force: true });
			await makeFolder(partial);
			await writeWhole(join(partial, 'plan'), plan);
		}
		const result = await work(partial);
		await rm(join(partial, 'plan'));
		await syncTree(partial);
		try {
			await rename(partial, path);
		} catch (cause) {
			await requireEmptyFolder(out);
			throw cause;
		}
		await sync(dirname(path));
		return result;
	} catch (cause) {
		keep = begun || cause instanceof AbortedError;
		throw underName(out, partial, cause);
	} finally {
		if (!keep) await rm(partial, { recursive: true, force: true }).catch(() => undefined);
	}
}

/**
 * The unfinished folder of `out`, for one of several processes that write to it with the same plan; made by the first. Who is last
 * calls {@link writePartialFolder}.
 *
 * @throws {OutputError} When `out` is not empty, or the folder was begun with another plan.
 */
export async function sharedPartialFolder(out: string, plan: string): Promise<string> {
	await requireEmptyFolder(out);
	const partial = partialOf(realTarget(out));
	await makeFolder(partial);
	const file = join(partial, 'plan');
	// Whoever comes first: the same bytes.
	if (!(await exists(file))) await writeWhole(file, plan);
	await requirePlan(out, partial, plan);
	return partial;
}

const partialOf = (path: string) => join(dirname(path), `.${basename(path)}.partial`);

async function requirePlan(out: string, partial: string, plan: string): Promise<void> {
	const found = await readFile(join(partial, 'plan'), 'utf8').catch(() => undefined);
	if (found === plan) return;
	throw new OutputError(
		found === undefined
			? `[output] ${out} must have been begun but ${partial} is not there; run its shards first`
			: `[output] ${partial} must have been begun with the same data, options and version but was with others; run all shards and the assembling alike, or remove it`,
	);
}

/** Removes what is in a folder but not in a list. */
export async function keepOnly(folder: string, names: ReadonlySet<string>): Promise<void> {
	for (const name of await readdir(folder)) if (!names.has(name)) await rm(join(folder, name), { recursive: true });
}
