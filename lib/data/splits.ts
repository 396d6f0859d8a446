import { createHash } from 'node:crypto';
import { DataError } from '../errors.js';
import { RandomStream } from '../random.js';
import { type Split, splits } from '../types.js';

/** Shares of the splits that are drawn where a data set brings none. */
const splitShares: Readonly<Record<Split, number>> = { train: 0.7, tuning: 0.15, held_out: 0.15 };

/** What decides a data set's splits: its splits file, else the folders of its data files, else a hash of subject_id alone. */
export const splitSources = ['file', 'folders', 'hash'] as const;
export type SplitSource = (typeof splitSources)[number];

/** Split of a subject: a function of (seed, subject_id) alone, so that more subjects do not move the others. */
export function drawSplit(subjectId: bigint, seed: number): Split {
	const low = Number(BigInt.asUintN(32, subjectId));
	const high = Number(BigInt.asUintN(24, subjectId >> 32n));
	const u = new RandomStream(seed, 'split', low, high).uniform();
	if (u < splitShares.train) return 'train';
	return u < splitShares.train + splitShares.tuning ? 'tuning' : 'held_out';
}

/** Split of a subject of a data set that brings none: the same for every command and seed. */
export function hashedSplit(subjectId: bigint): Split {
	return drawSplit(subjectId, 1);
}

/**
 * The split that a data file's folder is named after.
 *
 * @param file - Relative to the data set: `data/train/0.parquet`.
 * @throws {DataError} When its folders name two.
 */
export function folderSplit(file: string): Split | undefined {
	const found = folderSplits(file);
	if (found.length > 1) {
		throw new DataError('meds', {
			file,
			rule: 'must lie in the folder of one split',
			value: found.join(' and '),
			fix: 'move the file',
		});
	}
	return found[0];
}

/** Every split that one of a data file's folders is named after. */
export function folderSplits(file: string): Split[] {
	const folders = file.split('/').slice(1, -1);
	return splits.filter((split) => folders.includes(split));
}

/** SHA-256 over who is in which split. @param subjects - With events, ascending. */
export function splitsFingerprint(subjects: Readonly<Record<Split, readonly bigint[] | BigInt64Array>>): string {
	const hash = createHash('sha256');
	for (const split of splits) {
		const ids = BigInt64Array.from(subjects[split]);
		hash.update(`${split}\0${ids.length}\0`).update(new Uint8Array(ids.buffer));
	}
	return hash.digest('hex');
}
