import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import {
	embed,
	openTokenStore,
	prepareStore,
	readIndexDates,
	simulateCohort,
	type TokenStore,
	Trainer,
} from '../../lib/index.js';
import { nativeAddon } from '../../lib/native.js';
import { writeReport } from '../../lib/report/report.js';
import { buildTasks } from '../../lib/tasks/build.js';
import { generateReportInput } from '../fixtures/report-input.js';
import { tinyTokenizerJson, writeTokenizer } from '../fixtures/tiny-tokenizer.js';
import type { TrainingCase } from './cases.js';

const Hashes = z.record(z.string(), z.string());

/** What one training case came to. */
export const TrainingRecord = z.strictObject({
	/** Total loss of each step. */
	losses: z.array(z.number()),
	/** sha256 of each safetensors file of the last checkpoint. */
	checkpoint: Hashes,
	/** sha256 of the states of all index dates. */
	states: z.string(),
});
export type TrainingRecord = z.infer<typeof TrainingRecord>;

export const Environment = z.strictObject({ torch: z.string(), processor: z.string(), cpuCapability: z.string() });
export type Environment = z.infer<typeof Environment>;

/** Everything that fixed inputs and seeds came to; made by record.ts. */
export const ConvergenceRecord = z.strictObject({
	/** Where the bytes of the tensors were made: another libtorch or processor may round differently. */
	environment: Environment,
	/** sha256 of each file; the same on every machine. */
	files: Hashes,
	training: z.record(z.string(), TrainingRecord),
});
export type ConvergenceRecord = z.infer<typeof ConvergenceRecord>;

export function environment(): Environment {
	const { torch, cpuCapability } = nativeAddon().buildInfo();
	// A processor's name does not tell its instructions: generations of a server's processor may share one.
	return { torch, processor: cpus()[0]?.model ?? 'unknown', cpuCapability };
}

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

function fileHashes(folder: string, prefix: string): Record<string, string> {
	const names = readdirSync(folder, { recursive: true, withFileTypes: true })
		.filter((entry) => entry.isFile())
		.map((entry) => join(entry.parentPath, entry.name))
		.sort();
	return Object.fromEntries(names.map((name) => [`${prefix}${name.slice(folder.length)}`, sha256(readFileSync(name))]));
}

/** The data of all cases, made once: cohort, stores, tasks, a report. */
export class FixedData {
	readonly folder: string;
	readonly store: TokenStore;

	private constructor(folder: string, store: TokenStore) {
		this.folder = folder;
		this.store = store;
	}

	static async create(folder: string): Promise<FixedData> {
		const at = (name: string) => join(folder, name);
		await simulateCohort(at('cohort'), { patients: 40, seed: 1 });
		await prepareStore(at('cohort'), at('store'));
		const tokenizer = writeTokenizer(folder, { 'tokenizer.json': tinyTokenizerJson() });
		await prepareStore(at('cohort'), at('text'), { tokens: { kind: 'text', tokenizer } });
		await buildTasks(at('cohort'), at('tasks'));
		return new FixedData(folder, await openTokenStore(at('store')));
	}

	async files(): Promise<Record<string, string>> {
		const directory = join(this.folder, 'report-input');
		await mkdir(directory);
		const { input } = await generateReportInput({ directory, seed: 5 });
		const report = join(this.folder, 'report.html');
		await writeReport(report, input);
		return {
			...fileHashes(join(this.folder, 'store'), 'store'),
			...fileHashes(join(this.folder, 'text'), 'text'),
			'report.html': sha256(readFileSync(report)),
		};
	}

	/** Trains a case in a folder of its own. */
	async train({ name, config }: TrainingCase): Promise<TrainingRecord> {
		const run = join(this.folder, 'runs', name.replaceAll(/[^a-z0-9]+/gi, '-'));
		await using trainer = await Trainer.create(run, this.store, config);
		const losses: number[] = [];
		for await (const { loss } of trainer.run(this.store)) losses.push(loss);
		const { values } = await embed(trainer.model, this.store, await readIndexDates(join(this.folder, 'tasks')), {
			contextTokens: 48,
			pooling: 'mean',
		});
		const checkpoints = fileHashes(join(run, 'checkpoints'), '');
		const tensors = Object.entries(checkpoints).filter(([file]) => file.endsWith('.safetensors'));
		return {
			losses,
			checkpoint: Object.fromEntries(tensors.map(([file, hash]) => [file.slice(file.lastIndexOf('/') + 1), hash])),
			states: sha256(new Uint8Array(values.buffer, values.byteOffset, values.byteLength)),
		};
	}

	async close(): Promise<void> {
		await this.store.close();
	}
}
