import { AbortedError, ConfigError, EhrJepaError, RankError } from '../errors.js';
import type { NativeShardRange } from '../native.js';
import type { ProcessGroup } from '../ranks/process-group.js';
import { splitBatch } from '../sample/split-batch.js';
import type { TrainingBatch } from '../types.js';
import type { TrainConfig } from './train-config.js';

/** What this process does of a run: all of it, or its shards of every update beside the other ranks of a group. */
export class RunShare {
	readonly group: ProcessGroup | undefined;
	/** Whether each rank keeps a part of the training state: then all save together, and stop together. */
	readonly spreads: boolean;
	/** Whether each keeps a part of the encoder itself: then all gather it before one reads it. */
	readonly sharesEncoder: boolean;
	/** Those of this process. */
	readonly shards: NativeShardRange;

	/** @throws {ConfigError} When the run cannot be shared by so many. */
	constructor(config: TrainConfig, group: ProcessGroup | undefined) {
		const { parallel } = config;
		const { rank, size } = group ?? { rank: 0, size: 1 };
		const total = parallel.virtualShards ?? size;
		if (total < size) {
			throw new ConfigError(
				`[train] parallel.virtualShards must be at least the number of ranks (${size}) but is ${total}; start fewer ranks, or a run with more shards`,
			);
		}
		requireShardEach('train', config, size);
		this.group = group;
		this.spreads = group !== undefined && parallel.kind !== 'ddp';
		this.sharesEncoder = group !== undefined && parallel.kind === 'zero3';
		// As native/distributed/shard_sum.cpp deals them.
		const first = Math.floor((rank * total) / size);
		this.shards = { first, count: Math.floor(((rank + 1) * total) / size) - first, total };
	}

	/** Whether this process writes the run folder, and tells what happens: rank 0, or the only one. */
	get leads(): boolean {
		return this.group === undefined || this.group.rank === 0;
	}

	/** What this process computes of an update: of each of its shards, its part of every micro-batch. */
	partsOf(batches: readonly TrainingBatch[]): TrainingBatch[] {
		const { first, count, total } = this.shards;
		const split = batches.map((batch) => splitBatch(batch, total));
		return Array.from({ length: count }, (_, i) => split.map((parts) => parts[first + i]!)).flat();
	}

	/** The error that ends this rank's work, told to the others unless it came from them. */
	failed(cause: unknown): unknown {
		return this.group === undefined ? cause : failedOn(this.group, cause);
	}
}

/** @throws {ConfigError} When ranks would have to update parameters before the gradients of all their shards are there. */
export function requireShardEach(scope: string, { parallel, optimizer }: TrainConfig, ranks: number): void {
	const shards = parallel.virtualShards ?? ranks;
	if (!optimizer.updateInBackward || shards === ranks) return;
	throw new ConfigError(
		`[${scope}] optimizer.updateInBackward must go with one shard a rank but parallel.virtualShards is ${shards} and the number of ranks ${ranks}; start ${shards} ranks, or leave one of both out`,
	);
}

/** Runs an act of all ranks; when it fails here, the others are told. */
export async function telling<T>(group: ProcessGroup | undefined, act: () => Promise<T>): Promise<T> {
	try {
		return await act();
	} catch (cause) {
		throw group === undefined ? cause : failedOn(group, cause);
	}
}

function failedOn(group: ProcessGroup, cause: unknown): unknown {
	if (cause instanceof RankError) return cause;
	// A wait that another rank's failure ended.
	if (cause instanceof AbortedError && group.signal.aborted) return group.signal.reason;
	const known = cause instanceof EhrJepaError ? cause.message : 'an unexpected error';
	group.fail(cause instanceof AbortedError ? 'was stopped' : `failed: ${known}`);
	return cause;
}
