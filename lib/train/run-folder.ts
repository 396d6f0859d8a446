import { constants, createWriteStream } from 'node:fs';
import { access, mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { parseConfig } from '../config.js';
import { requireEmptyFolder, writeWhole } from '../data/whole-file.js';
import { CheckpointError, DataError, OutputError } from '../errors.js';
import type { NativeStateKind } from '../native.js';
import { MetricsLine } from './metrics.js';
import { TrainConfig } from './train-config.js';

/**
 * Layout of a run folder: it explains itself.
 *
 *     config.json          RunConfig: training options with defaults filled in, and the data they were used on
 *     metrics.jsonl        one MetricsLine per line
 *     checkpoints/step-00000400/{encoder,target_encoder,predictor,optimizer}.safetensors, state.json
 */
export const RunConfig = z.strictObject({
	format: z.literal('ehr-jepa/run'),
	version: z.literal(1),
	/** Version of this package. */
	package: z.string(),
	torch: z.string(),
	train: TrainConfig,
	data: z.strictObject({
		/** Fingerprint of the token store. */
		store: z.string(),
		/** Fingerprint of the vocabulary: which token a row of the embedding is. */
		vocabulary: z.string(),
		vocabSize: z.int().positive(),
		maskTokenId: z.int().nonnegative(),
	}),
});
export type RunConfig = z.infer<typeof RunConfig>;

const CheckpointState = z.strictObject({
	format: z.literal('ehr-jepa/checkpoint'),
	version: z.literal(1),
	/** Updates made so far; also the data cursor, because batches are a function of (seed, step). */
	step: z.int().nonnegative(),
	/** Bytes of each file, to notice a truncated one. */
	files: z.record(z.string(), z.int().positive()),
});

export interface Checkpoint {
	readonly step: number;
	readonly directory: string;
	readonly kinds: readonly NativeStateKind[];
}

const kinds: readonly NativeStateKind[] = ['encoder', 'target_encoder', 'predictor', 'optimizer'];
const fileOf = (kind: NativeStateKind) => `${kind}.safetensors`;
const stepName = (step: number) => `step-${String(step).padStart(8, '0')}`;

/** One run folder on disk. */
export class RunFolder {
	readonly path: string;
	readonly config: RunConfig;

	private constructor(path: string, config: RunConfig) {
		this.path = path;
		this.config = config;
	}

	/** @throws {OutputError} When the folder is not empty. */
	static async create(path: string, config: RunConfig): Promise<RunFolder> {
		await requireEmptyFolder(path);
		await mkdir(join(path, 'checkpoints'), { recursive: true });
		await writeWhole(join(path, 'config.json'), `${JSON.stringify(config, undefined, '\t')}\n`);
		return new RunFolder(path, config);
	}

	/** @throws {DataError} When it is no run folder; {ConfigError} when its configuration breaks the schema. */
	static async open(path: string): Promise<RunFolder> {
		const file = join(path, 'config.json');
		let text: string;
		try {
			text = await readFile(file, 'utf8');
		} catch (cause) {
			throw new DataError(
				'run',
				{ file, rule: 'must exist in a run folder', fix: 'give the folder that `train` wrote' },
				{ cause },
			);
		}
		let json: unknown;
		try {
			json = JSON.parse(text);
		} catch (cause) {
			throw new DataError('run', { file, rule: 'must be JSON', value: (cause as Error).message }, { cause });
		}
		return new RunFolder(path, parseConfig(`run ${file}`, RunConfig, json));
	}

	get metricsPath(): string {
		return join(this.path, 'metrics.jsonl');
	}

	/** Whole checkpoints, oldest first. Folders that are not whole are passed over: `latest` is derived, never trusted. */
	async checkpoints(): Promise<Checkpoint[]> {
		const parent = join(this.path, 'checkpoints');
		const names = (await readdir(parent).catch(() => [])).filter((name) => /^step-\d+$/.test(name)).sort();
		const found: Checkpoint[] = [];
		for (const name of names) {
			const checkpoint = await readCheckpoint(join(parent, name));
			if (checkpoint !== undefined) found.push(checkpoint);
		}
		return found;
	}

	/** @throws {CheckpointError} When there is none. */
	async newestCheckpoint(): Promise<Checkpoint> {
		const newest = (await this.checkpoints()).at(-1);
		if (newest === undefined) {
			throw new CheckpointError(`[run] ${this.path} must hold a whole checkpoint but holds none; train it first`);
		}
		return newest;
	}

	/**
	 * Writes a checkpoint to a temporary folder, then renames it; removes the oldest beyond `keep`.
	 *
	 * @param save - Writes one part of the state to the given file and fsyncs it.
	 * @throws {OutputError} When it cannot be written; older checkpoints are untouched.
	 */
	async saveCheckpoint(
		step: number,
		parts: readonly NativeStateKind[],
		keep: number,
		save: (kind: NativeStateKind, path: string) => Promise<void>,
	): Promise<void> {
		const parent = join(this.path, 'checkpoints');
		const temporary = join(parent, `.${stepName(step)}.${process.pid}.tmp`);
		const target = join(parent, stepName(step));
		try {
			await rm(temporary, { recursive: true, force: true });
			await mkdir(temporary, { recursive: true });
			const files: Record<string, number> = {};
			for (const kind of parts) {
				const path = join(temporary, fileOf(kind));
				await save(kind, path);
				files[fileOf(kind)] = (await stat(path)).size;
			}
			const state = { format: 'ehr-jepa/checkpoint', version: 1, step, files };
			await writeWhole(join(temporary, 'state.json'), `${JSON.stringify(state, undefined, '\t')}\n`);
			await syncFolder(temporary);
			await rm(target, { recursive: true, force: true });
			await rename(temporary, target);
			await syncFolder(parent);
		} catch (cause) {
			await rm(temporary, { recursive: true, force: true });
			throw new OutputError(`[checkpoint] ${target} could not be written: ${(cause as Error).message}`, { cause });
		}
		const all = await this.checkpoints();
		for (const old of all.slice(0, Math.max(0, all.length - keep))) {
			await rm(old.directory, { recursive: true, force: true });
		}
	}

	/**
	 * Opens `metrics.jsonl` for appending after dropping the lines beyond `step`, which a resumed run makes again, and a
	 * last line that a crash cut off, onto which the next one would be glued.
	 */
	async openMetrics(step: number): Promise<MetricsWriter> {
		const kept = (await this.metrics()).filter((line) => line.step <= step).map((line) => `${JSON.stringify(line)}\n`);
		const text = kept.join('');
		const size = await stat(this.metricsPath).then(
			({ size }) => size,
			() => 0,
		);
		if (size !== Buffer.byteLength(text)) await writeWhole(this.metricsPath, text);
		return new MetricsWriter(this.metricsPath);
	}

	/** Every line of `metrics.jsonl`; a last line cut off by a crash is passed over. */
	async metrics(): Promise<MetricsLine[]> {
		const exists = await access(this.metricsPath, constants.R_OK).then(
			() => true,
			() => false,
		);
		if (!exists) return [];
		const lines = (await readFile(this.metricsPath, 'utf8')).split('\n');
		const parsed: MetricsLine[] = [];
		for (const [index, line] of lines.entries()) {
			if (line === '') continue;
			let json: unknown;
			try {
				json = JSON.parse(line);
			} catch (cause) {
				if (index === lines.length - 1) break;
				throw new DataError('run', { file: this.metricsPath, rule: `line ${index + 1} must be JSON` }, { cause });
			}
			parsed.push(parseConfig(`${this.metricsPath} line ${index + 1}`, MetricsLine, json));
		}
		return parsed;
	}
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
			throw new OutputError(`[metrics] ${this.#stream.path} could not be written: ${(cause as Error).message}`, {
				cause,
			});
		});
	}

	async close(): Promise<void> {
		if (this.#failure !== undefined) return;
		await new Promise<void>((resolve) => {
			this.#stream.end(resolve);
		});
	}
}

/** A checkpoint whose files are all there with the sizes that were written; undefined otherwise. */
export async function readCheckpoint(directory: string): Promise<Checkpoint | undefined> {
	try {
		const state = CheckpointState.parse(JSON.parse(await readFile(join(directory, 'state.json'), 'utf8')));
		for (const [name, bytes] of Object.entries(state.files)) {
			if ((await stat(join(directory, name))).size !== bytes) return undefined;
		}
		return { step: state.step, directory, kinds: kinds.filter((kind) => fileOf(kind) in state.files) };
	} catch {
		return undefined;
	}
}

export function checkpointFile(checkpoint: Checkpoint, kind: NativeStateKind): string {
	return join(checkpoint.directory, fileOf(kind));
}

async function syncFolder(path: string): Promise<void> {
	const folder = await open(path, 'r');
	try {
		await folder.sync();
	} finally {
		await folder.close();
	}
}
