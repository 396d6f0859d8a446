import { createWriteStream } from 'node:fs';
import { readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { parseConfig } from '../config.js';
import { CheckpointError, DataError, OutputError } from '../errors.js';
import { exists } from '../files/exists.js';
import { faultOf } from '../files/faults.js';
import { parseJson, readJsonAs } from '../files/json.js';
import { lockFolder, lockNewFolder, type WriteLock } from '../files/lock.js';
import { removeUnfinishedIn } from '../files/names.js';
import { requirePath } from '../files/path.js';
import { writeWhole } from '../files/whole.js';
import {
	type Checkpoint,
	type CheckpointSource,
	readCheckpoint,
	verifyCheckpoint,
	writeCheckpoint,
} from './checkpoint.js';
import { MetricsLine } from './metrics.js';
import { RunConfig } from './run-config.js';

/**
 * One run folder on disk, which explains itself:
 *
 *     config.json          RunConfig: training options with defaults filled in, and the data they were used on
 *     metrics.jsonl        one MetricsLine per line
 *     checkpoints/step-00000400/{encoder,target_encoder,predictor,optimizer}.safetensors, state.json
 *     (adapters and target_adapters in place of the encoders under LoRA)
 */
export class RunFolder {
	readonly path: string;
	readonly config: RunConfig;

	readonly #lock: WriteLock | undefined;

	private constructor(path: string, config: RunConfig, lock?: WriteLock) {
		this.path = path;
		this.config = config;
		this.#lock = lock;
	}

	/**
	 * A new run folder, of which the caller is the one writer until {@link RunFolder.release}. On any failure nothing is left.
	 * One of the same configuration whose training never came to a checkpoint, because the disk was full or it was killed, is
	 * begun again.
	 *
	 * @throws {OutputError} When the folder holds anything else, or another is writing it.
	 */
	static async create(path: string, config: RunConfig): Promise<RunFolder> {
		requirePath('run', 'run folder', path);
		const begun = await RunFolder.open(path).catch(() => undefined);
		if (begun !== undefined) {
			const lock = lockFolder(path);
			try {
				await begun.#requireNothingToLose(config);
				return new RunFolder(path, config, lock);
			} catch (cause) {
				lock.release();
				throw cause;
			}
		}
		const lock = await lockNewFolder(path);
		try {
			await removeUnfinishedIn(path);
			await writeConfig(path, config);
		} catch (cause) {
			lock.remove();
			throw cause;
		}
		return new RunFolder(path, config, lock);
	}

	/**
	 * As {@link RunFolder.open}, to be written to: the caller is the one writer until {@link RunFolder.release}.
	 *
	 * @throws {OutputError} When another is writing it.
	 */
	static async openToWrite(path: string): Promise<RunFolder> {
		const { config } = await RunFolder.open(path);
		return new RunFolder(path, config, lockFolder(path));
	}

	/** A run folder that another process writes. */
	static followed(path: string, config: RunConfig): RunFolder {
		return new RunFolder(path, config);
	}

	/** The same folder, whose run goes on with another configuration once it is recorded. */
	goOnWith(config: RunConfig): RunFolder {
		return new RunFolder(this.path, config, this.#lock);
	}

	/** Writes config.json, where this process may. */
	async record(): Promise<void> {
		if (this.#lock !== undefined) await writeConfig(this.path, this.config);
	}

	/** @throws {OutputError} When a new run in this folder would put an end to another one. */
	async #requireNothingToLose(config: RunConfig): Promise<void> {
		const checkpoints = (await this.#survey()).length;
		const same = JSON.stringify(RunConfig.parse(config)) === JSON.stringify(this.config);
		if (same && checkpoints === 0) return;
		const found =
			checkpoints > 0
				? `a run with ${checkpoints} checkpoint${checkpoints === 1 ? '' : 's'}`
				: 'a run of other options or data';
		throw new OutputError(
			`[run] ${this.path} must be empty or absent but holds ${found}; go on with it (train --resume, Trainer.resume), choose another folder or remove it`,
		);
	}

	/** Lets another write the folder. */
	release(): void {
		this.#lock?.release();
	}

	/** @throws {DataError} When it is no run folder; {ConfigError} when its configuration breaks the schema. */
	static async open(path: string): Promise<RunFolder> {
		requirePath('run', 'run folder', path);
		const file = join(path, 'config.json');
		const about = { scope: 'run', rule: 'must be the JSON of a run', fix: 'give the folder that `train` wrote' };
		return new RunFolder(path, await readJsonAs(file, RunConfig, about));
	}

	get metricsPath(): string {
		return join(this.path, 'metrics.jsonl');
	}

	/**
	 * Checkpoints whose files are there with their sizes, oldest first; others are passed over: `latest` is derived, never
	 * trusted.
	 *
	 * @throws {CheckpointError} For one of another configuration or of a newer format.
	 */
	async checkpoints(): Promise<Checkpoint[]> {
		return (await this.#survey()).flatMap(({ checkpoint }) => (checkpoint === undefined ? [] : [checkpoint]));
	}

	/**
	 * The newest checkpoint that is whole, checksums included.
	 *
	 * @param onDamaged - Told of each newer one that is not, with the reason.
	 * @throws {CheckpointError} When there is none; names what is wrong with those that are there.
	 */
	async newestCheckpoint(onDamaged: (message: string) => void = () => {}): Promise<Checkpoint> {
		const reasons: string[] = [];
		for (const { name, checkpoint, damage } of (await this.#survey()).reverse()) {
			const reason = damage ?? (await verifyCheckpoint(checkpoint));
			if (reason === undefined) return checkpoint!;
			reasons.push(`${name}: ${reason}`);
			onDamaged(`[checkpoint] ${join(this.path, 'checkpoints', name)} is damaged and passed over: ${reason}`);
		}
		const why = reasons.length === 0 ? 'train it first' : reasons.join('; ');
		throw new CheckpointError(`[run] ${this.path} must hold a whole checkpoint but holds none; ${why}`);
	}

	/**
	 * The checkpoint of a step.
	 *
	 * @throws {CheckpointError} When there is none, or not all of it.
	 */
	async checkpointAt(step: number): Promise<Checkpoint> {
		const found = (await this.checkpoints()).find((checkpoint) => checkpoint.step === step);
		if (found !== undefined) return found;
		throw new CheckpointError(
			`[run] ${this.path} must hold the checkpoint of step ${step}, with which all ranks go on, but does not here; give all ranks one folder of a shared file system`,
		);
	}

	/**
	 * The checkpoint of a step that a caller asks for, checksums included.
	 *
	 * @throws {CheckpointError} When there is none, with the steps that there are, or it is damaged.
	 */
	async wholeCheckpoint(step: number): Promise<Checkpoint> {
		const all = await this.#survey();
		const found = all.find(({ name }) => Number(name.slice('step-'.length)) === step);
		if (found === undefined) {
			const steps = all.flatMap(({ checkpoint }) => checkpoint?.step ?? []);
			throw new CheckpointError(
				`[run] checkpoint must be of one of the steps ${this.path} holds (${steps.join(', ') || 'none'}) but is ${step}; train keeps more with keepCheckpoints and keepCheckpointEvery`,
			);
		}
		const reason = found.damage ?? (await verifyCheckpoint(found.checkpoint));
		if (reason === undefined) return found.checkpoint!;
		throw new CheckpointError(
			`[checkpoint] ${join(this.path, 'checkpoints', found.name)} must be whole but is damaged: ${reason}`,
		);
	}

	/** Whether no checkpoint was ever written: an interrupted run then starts again from its seed. */
	async isUntrained(): Promise<boolean> {
		return (await this.#survey()).length === 0;
	}

	async #survey(): Promise<
		({ readonly name: string } & (
			| { readonly checkpoint: Checkpoint; readonly damage: undefined }
			| { readonly checkpoint: undefined; readonly damage: string }
		))[]
	> {
		const parent = join(this.path, 'checkpoints');
		const names = (await readdir(parent).catch(() => [])).filter((name) => /^step-\d+$/.test(name)).sort();
		return Promise.all(
			names.map(async (name) => {
				const found = await readCheckpoint(join(parent, name), this.config);
				return 'damage' in found
					? { name, checkpoint: undefined, damage: found.damage }
					: { name, checkpoint: found, damage: undefined };
			}),
		);
	}

	/**
	 * Writes a checkpoint, whole or not at all, then removes those that the configuration does not keep.
	 *
	 * @throws {OutputError} When it cannot be written; older checkpoints are untouched.
	 */
	async saveCheckpoint(step: number, source: CheckpointSource): Promise<void> {
		await writeCheckpoint(join(this.path, 'checkpoints'), this.config, step, source);
		const { keepCheckpoints, keepCheckpointEvery } = this.config.train;
		const all = await this.checkpoints();
		for (const old of all.slice(0, Math.max(0, all.length - keepCheckpoints))) {
			if (keepCheckpointEvery > 0 && old.step % keepCheckpointEvery === 0) continue;
			await rm(old.directory, { recursive: true, force: true });
		}
	}

	/**
	 * Opens `metrics.jsonl` for appending after dropping the lines beyond `step`, which a resumed run makes again, and a
	 * last line that a crash cut off, onto which the next one would be glued.
	 */
	async openMetrics(step: number): Promise<{ readonly writer: MetricsWriter; readonly kept: readonly MetricsLine[] }> {
		const kept = (await this.metrics()).filter((line) => line.step <= step);
		const text = kept.map((line) => `${JSON.stringify(line)}\n`).join('');
		const size = await stat(this.metricsPath).then(
			({ size }) => size,
			() => 0,
		);
		if (size !== Buffer.byteLength(text)) await writeWhole(this.metricsPath, text);
		return { writer: new MetricsWriter(this.metricsPath), kept };
	}

	/** Every line of `metrics.jsonl`; a last line cut off by a crash is passed over. */
	async metrics(): Promise<MetricsLine[]> {
		if (!(await exists(this.metricsPath))) return [];
		const lines = (await readFile(this.metricsPath, 'utf8')).split('\n');
		const parsed: MetricsLine[] = [];
		for (const [index, line] of lines.entries()) {
			if (line === '') continue;
			let json: unknown;
			try {
				json = parseJson(line);
			} catch (cause) {
				if (index === lines.length - 1) break;
				throw new DataError(
					'run',
					{
						file: this.metricsPath,
						rule: `line ${index + 1} must be JSON`,
						value: faultOf(cause),
						fix: 'remove the line',
					},
					{ cause },
				);
			}
			parsed.push(parseConfig(`${this.metricsPath} line ${index + 1}`, MetricsLine, json));
		}
		return parsed;
	}
}

async function writeConfig(path: string, config: RunConfig): Promise<void> {
	await writeWhole(join(path, 'config.json'), `${JSON.stringify(config, undefined, '\t')}\n`);
}

/** Appends lines to `metrics.jsonl`. */
export class MetricsWriter {
	readonly #stream: ReturnType<typeof createWriteStream>;
	#failure: Error | undefined;

	constructor(path: string) {
		this.#stream = createWriteStream(path, { flags: 'a' });
		this.#stream.on('error', (error) => {
			this.#failure = error;
		});
	}

	/** Resolves when the line was handed to the system. */
	async write(line: MetricsLine): Promise<void> {
		await new Promise<void>((resolve, reject) => {
			this.#stream.write(`${JSON.stringify(line)}\n`, (error) => (error ? reject(error) : resolve()));
		}).catch((cause) => {
			throw new OutputError(
				`[metrics] ${this.#stream.path} could not be written: ${faultOf(cause)}; when there is room, go on with train --resume (Trainer.resume)`,
				{ cause },
			);
		});
	}

	async close(): Promise<void> {
		if (this.#failure !== undefined) return;
		await new Promise<void>((resolve) => {
			this.#stream.end(resolve);
		});
	}
}
