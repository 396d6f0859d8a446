import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { OutputError } from '../errors.js';
import { faultOf } from '../files/faults.js';
import { readJson } from '../files/json.js';
import { writeWhole } from '../files/whole.js';
import type { ProcessGroup } from '../ranks/process-group.js';
import { type CheckpointSource, fileOf } from './checkpoint.js';
import type { RunFolder } from './run-folder.js';

const pollMs = 20;
const partFile = (rank: number) => `part-${rank}.json`;

/**
 * Begins a checkpoint that all ranks write together, each its part of every file: a call of all of them, between two steps. Rank 0
 * makes the folder and, when all parts are there, says with state.json that it is whole, and gives it its name. Until then the
 * files are on their way in a folder that nobody reads.
 *
 * @returns Resolves when it was begun, to a promise of this rank's part; rank 0's is of the whole. That rejects with an
 * {@link OutputError} when it could not be written, and on rank 0 when another rank could not write its part, or is gone.
 */
export async function beginCheckpointOfRanks(
	folder: RunFolder,
	group: ProcessGroup,
	step: number,
	source: Pick<CheckpointSource, 'kinds' | 'save'>,
): Promise<{ readonly written: Promise<void> }> {
	if (group.rank !== 0) {
		const place = await group.fromFirst<string | null>(async () => null);
		// Rank 0 says why there is none.
		return { written: place === null ? Promise.resolve() : writePart(place, group.rank, source) };
	}
	let written: Promise<void> = Promise.resolve();
	await group.fromFirst(
		() =>
			new Promise<string | null>((resolve) => {
				written = folder.saveCheckpoint(step, {
					...source,
					begun: resolve,
					others: (place) => partsOfOthers(place, group),
				});
				written.catch(() => resolve(null));
			}),
	);
	return { written };
}

async function writePart(
	place: string,
	rank: number,
	{ kinds, save }: Pick<CheckpointSource, 'kinds' | 'save'>,
): Promise<void> {
	let fault: string | null = null;
	try {
		for (const kind of kinds) await save(kind, join(place, fileOf(kind)));
	} catch (cause) {
		fault = faultOf(cause);
	}
	// Where not even this can be written rank 0 has given up, or will see that this rank is gone.
	await writeWhole(join(place, partFile(rank)), JSON.stringify({ fault })).catch(() => {});
}

/** Waits until the parts of all other ranks are on the disk. */
async function partsOfOthers(place: string, group: ProcessGroup): Promise<void> {
	for (let rank = 1; rank < group.size; rank++) {
		const file = join(place, partFile(rank));
		for (;;) {
			const found = (await readJson(file, { scope: 'checkpoint' }).catch(() => undefined)) as
				| { readonly fault: string | null }
				| undefined;
			if (found?.fault === null) break;
			if (found !== undefined)
				throw new OutputError(`[checkpoint] rank ${rank} could not write its part: ${found.fault}`);
			group.signal.throwIfAborted();
			await sleep(pollMs);
		}
		await rm(file);
	}
}
