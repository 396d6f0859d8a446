import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { ruleOf } from '../config.js';
import { CheckpointError, DataError, OutputError } from '../errors.js';
import { faultOf } from '../files/faults.js';
import { sha256OfFile } from '../files/hash.js';
import { readJson } from '../files/json.js';
import { removeUnfinishedIn } from '../files/names.js';
import { makeFolder, replaceFolder, writeWhole } from '../files/whole.js';
import { isObject, shown } from '../found.js';
import type { NativeStateKind } from '../native.js';
import { packageVersion } from '../package-version.js';
import { RunConfig } from './run-config.js';

/** What this version writes and reads. */
const formatVersion = 2;

/** `state.json` of a checkpoint: with the files it names it is everything that training needs to go on. */
const CheckpointState = z.strictObject({
	format: z.literal('ehr-jepa/checkpoint'),
	version: z.literal(formatVersion),
	/**
	 * Updates made so far. It is the data cursor and the state of the random numbers as well: batches, cuts and masks are
	 * functions of (seed, step).
	 */
	step: z.int().nonnegative(),
	package: z.string(),
	torch: z.string(),
	/** The run's configuration, so that a checkpoint cannot be taken for another run's. */
	run: z.unknown(),
	files: z.record(z.string(), z.strictObject({ bytes: z.int().positive(), sha256: z.string().length(64) })),
});
type CheckpointState = z.infer<typeof CheckpointState>;

export interface Checkpoint {
	readonly step: number;
	readonly directory: string;
	readonly kinds: readonly NativeStateKind[];
	readonly files: CheckpointState['files'];
}

// In the order of loading: the target encoder starts as a copy of the encoder, so its own part comes after.
const allKinds: readonly NativeStateKind[] = [
	'encoder',
	'adapters',
	'target_encoder',
	'target_adapters',
	'predictor',
	'optimizer',
];
export const fileOf = (kind: NativeStateKind) => `${kind}.safetensors`;
const checkpointName = (step: number) => `step-${String(step).padStart(8, '0')}`;
export const checkpointFile = ({ directory }: Checkpoint, kind: NativeStateKind) => join(directory, fileOf(kind));

/**
 * Opens a checkpoint folder: its state and the sizes of its files. {@link verifyCheckpoint} reads the files themselves.
 *
 * @returns The checkpoint, or why it is not whole.
 * @throws {CheckpointError} When it is whole but not for this run or this version: what differs is named.
 */
export async function readCheckpoint(
	directory: string,
	run: RunConfig,
): Promise<Checkpoint | { readonly damage: string }> {
	let json: { readonly version?: unknown } | null;
	try {
		json = (await readJson(join(directory, 'state.json'), { scope: 'checkpoint' })) as typeof json;
	} catch (cause) {
		if (!(cause instanceof DataError)) throw cause;
		return { damage: `state.json cannot be read (${cause.value})` };
	}
	if (typeof json?.version === 'number' && json.version > formatVersion) {
		throw new CheckpointError(
			`[checkpoint] ${directory} must have format version ${formatVersion} but has ${json.version}; a newer ehr-jepa wrote it`,
		);
	}
	const state = CheckpointState.safeParse(json);
	if (!state.success) {
		const issue = state.error.issues[0]!;
		return { damage: `state.json: ${issue.path.join('.') || 'the file'} ${ruleOf(issue)}` };
	}
	// Options that did not exist when it was written are filled in, as they are in config.json.
	const saved = RunConfig.safeParse(state.data.run);
	const difference = firstDifference(whatWasTrained(saved.data ?? state.data.run), whatWasTrained(run), '');
	if (difference !== undefined) {
		throw new CheckpointError(
			`[checkpoint] ${directory} must be of this run but was made with another configuration: ${difference}; put config.json back as it was, or move the checkpoint away`,
		);
	}
	for (const [name, { bytes }] of Object.entries(state.data.files)) {
		const size = await stat(join(directory, name)).then(
			({ size }) => size,
			() => undefined,
		);
		if (size !== bytes)
			return { damage: `${name} must have ${bytes} bytes but ${size === undefined ? 'is missing' : `has ${size}`}` };
	}
	const kinds = allKinds.filter((kind) => fileOf(kind) in state.data.files);
	return { step: state.data.step, directory, kinds, files: state.data.files };
}

/** Reads every file and compares its sha256. @returns Why the checkpoint is damaged, or undefined. */
export async function verifyCheckpoint({ directory, files }: Checkpoint): Promise<string | undefined> {
	for (const [name, { sha256 }] of Object.entries(files)) {
		const found = await sha256OfFile(join(directory, name));
		if (found !== sha256) return `${name} must have sha256 ${sha256.slice(0, 12)} but has ${found.slice(0, 12)}`;
	}
	return undefined;
}

/** What a checkpoint is written from. */
export interface CheckpointSource {
	readonly kinds: readonly NativeStateKind[];
	/** Writes one part of the state to the given file and fsyncs it. */
	save(kind: NativeStateKind, path: string): Promise<void>;
	/** Called with the folder in which the files are about to be written, by several processes perhaps. */
	begun?(folder: string): void;
	/** Called when this process has written its part; resolves when all have. */
	others?(folder: string): Promise<void>;
}

/**
 * Writes a checkpoint to a temporary folder, fsyncs it and renames it: it appears whole or not at all. `state.json`, without which a
 * folder is no checkpoint, is written last.
 *
 * @param parent - Folder of all checkpoints.
 * @throws {OutputError} When it cannot be written; nothing of it is left and older ones are untouched.
 */
export async function writeCheckpoint(
	parent: string,
	run: RunConfig,
	step: number,
	source: CheckpointSource,
): Promise<void> {
	const target = join(parent, checkpointName(step));
	try {
		await makeFolder(parent);
		await removeUnfinishedIn(parent);
		await replaceFolder(target, async (temporary) => {
			source.begun?.(temporary);
			for (const kind of source.kinds) await source.save(kind, join(temporary, fileOf(kind)));
			await source.others?.(temporary);
			const files: CheckpointState['files'] = {};
			for (const kind of source.kinds) {
				const path = join(temporary, fileOf(kind));
				files[fileOf(kind)] = { bytes: (await stat(path)).size, sha256: await sha256OfFile(path) };
			}
			const state: CheckpointState = {
				format: 'ehr-jepa/checkpoint',
				version: formatVersion,
				step,
				package: packageVersion,
				torch: run.torch,
				run,
				files,
			};
			await writeWhole(join(temporary, 'state.json'), `${JSON.stringify(state, undefined, '\t')}\n`);
		});
	} catch (cause) {
		throw new OutputError(`[checkpoint] ${target} could not be written: ${faultOf(cause)}`, { cause });
	}
}

/** A configuration without what changes nothing of the steps before: how far the run was extended, and how ranks share it. */
function whatWasTrained(run: unknown): unknown {
	if (!isObject(run)) return run;
	const { train } = run;
	const parallel = isObject(train) && isObject(train.parallel) ? { ...train.parallel, kind: undefined } : undefined;
	return {
		...run,
		extendedTo: undefined,
		train: isObject(train) && parallel !== undefined ? { ...train, parallel } : train,
	};
}

/** First place at which two JSON values differ: `train.seed (2, here 1)`. */
function firstDifference(found: unknown, expected: unknown, path: string): string | undefined {
	if (typeof found === 'object' && typeof expected === 'object' && found !== null && expected !== null) {
		const keys = [...new Set([...Object.keys(found), ...Object.keys(expected)])];
		for (const key of keys) {
			const inner = firstDifference(
				(found as Record<string, unknown>)[key],
				(expected as Record<string, unknown>)[key],
				path === '' ? key : `${path}.${key}`,
			);
			if (inner !== undefined) return inner;
		}
		return undefined;
	}
	if (found === expected) return undefined;
	return `${path} is ${shown(found)}, in config.json it is ${shown(expected)}`;
}
