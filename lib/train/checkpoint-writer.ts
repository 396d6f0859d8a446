import { OutputError } from '../errors.js';
import type { WorldModel } from '../model/world-model.js';
import type { NativeStateKind } from '../native.js';
import { packageVersion } from '../package-version.js';
import { beginCheckpointOfRanks } from './checkpoint-of-ranks.js';
import type { RunFolder } from './run-folder.js';
import type { RunShare } from './run-share.js';
import type { TrainConfig } from './train-config.js';

/** What a checkpoint holds. A frozen base is not part of it: the run says where it comes from. */
function partsOf({ objective, trainable }: TrainConfig): NativeStateKind[] {
	const [encoder, target] =
		trainable.kind === 'lora' ? (['adapters', 'target_adapters'] as const) : (['encoder', 'target_encoder'] as const);
	// Without the latent objective predictor and target encoder are never trained: their files would say nothing.
	return objective.latent === null ? [encoder, 'optimizer'] : [encoder, target, 'predictor', 'optimizer'];
}

/**
 * Saves checkpoints beside training: a copy of the state in memory, which training waits for, is then written by another
 * thread while the next steps run. One is written at a time. Without `checkpointCopy` training waits until it is written.
 */
export class CheckpointWriter {
	readonly #folder: RunFolder;
	readonly #model: WorldModel;
	readonly #share: RunShare;
	readonly #warn: (message: string) => void;
	#writing: Promise<void> = Promise.resolve();
	#failure: { readonly step: number; readonly error: OutputError } | undefined;

	constructor(folder: RunFolder, model: WorldModel, share: RunShare, warn: (message: string) => void) {
		this.#folder = folder;
		this.#model = model;
		this.#share = share;
		this.#warn = warn;
	}

	/**
	 * Copies the state and begins to write it, or writes it: all ranks do where each has a part of it, rank 0 otherwise. A checkpoint that cannot be written is a warning: training goes on and the
	 * older ones stay.
	 *
	 * @returns How long training waited, milliseconds.
	 */
	async save(step: number): Promise<number> {
		const started = performance.now();
		await this.#writing;
		const { config } = this.#folder;
		const kinds = partsOf(config.train);
		const shared = { package: packageVersion, step: String(step), vocabulary: config.data.vocabulary };
		const metadataOf = (part: NativeStateKind) => ({ ...shared, part });
		const { checkpointCopy } = config.train;
		const snapshot = checkpointCopy ? await this.#model.snapshot(kinds) : undefined;
		const save = (kind: NativeStateKind, path: string) =>
			snapshot === undefined
				? this.#model.save(kind, path, { metadata: metadataOf(kind) })
				: snapshot.write(kind, path, metadataOf(kind));
		const { group, spreads } = this.#share;
		const { written } =
			group !== undefined && spreads
				? await beginCheckpointOfRanks(this.#folder, group, step, { kinds, save })
				: { written: this.#folder.saveCheckpoint(step, { kinds, save }) };
		this.#writing = written
			.then(
				() => {
					this.#failure = undefined;
				},
				(error: OutputError) => {
					this.#failure = { step, error };
					this.#warn(`${error.message}; training goes on, the older checkpoints are untouched`);
				},
			)
			.finally(() => snapshot?.release());
		if (snapshot === undefined) await this.#writing;
		return performance.now() - started;
	}

	/**
	 * Waits for what is being written.
	 *
	 * @throws {OutputError} When the newest checkpoint could not be written; says how to go on.
	 */
	async finish(): Promise<void> {
		await this.#writing;
		if (this.#failure === undefined) return;
		const { step, error } = this.#failure;
		const saved = (await this.#folder.checkpoints()).at(-1)?.step;
		const from = saved === undefined ? 'begins again, as there is no checkpoint yet' : `goes on from step ${saved}`;
		throw new OutputError(
			`${error.message}; step ${step} is not saved: when there is room, train --resume (Trainer.resume) ${from}`,
			{ cause: error },
		);
	}
}
