import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { simulateCohort } from '../cohort/simulate.js';
import { filePath, parseConfig } from '../config.js';
import { LifeCodeOptions } from '../data/life-codes.js';
import { openMeds } from '../data/meds.js';
import { ConfigError, OutputError } from '../errors.js';
import { evaluate } from '../evaluate/evaluate.js';
import type { EvaluatedModel, EvaluationFile } from '../evaluate/evaluation-file.js';
import { exists } from '../files/exists.js';
import { readJson } from '../files/json.js';
import { lockFolder } from '../files/lock.js';
import { isUnfinished } from '../files/names.js';
import { makeFolder, writeWhole } from '../files/whole.js';
import type { ComputeDtype } from '../model/compute-dtype.js';
import type { Device } from '../model/device.js';
import { objectivePresets } from '../objective/objective.js';
import { embedRun } from '../pipeline/embed-run.js';
import { trainRun } from '../pipeline/train-run.js';
import { prepareStore } from '../prepare/prepare.js';
import { writeReport } from '../report/report.js';
import { openTokenStore, type TokenStore } from '../store/token-store.js';
import { buildTasks } from '../tasks/build.js';
import { definitionsFor } from '../tasks/definitions.js';
import { readTasks } from '../tasks/read.js';
import { RunFolder } from '../train/run-folder.js';
import { TrainConfig, type TrainConfigInput } from '../train/train-config.js';
import type { CommandContext } from './context.js';
import { duration } from './progress-line.js';
import { applySettings } from './settings.js';

/** Options of the demo; kept in `demo.json`, so that an interrupted one is continued with the same. */
export const DemoOptions = z.strictObject({
	/** Absolute path of a MEDS data set; null simulates a cohort. */
	meds: filePath.nullable(),
	patients: z.int().positive(),
	steps: z.int().positive(),
	seed: z.int().nonnegative(),
	/** Training options that were set by their path. */
	train: z.record(z.string(), z.unknown()).default({}),
	/** Codes of birth and death beside the usual ones. */
	lifeCodes: LifeCodeOptions.prefault({}),
});
export type DemoOptions = z.infer<typeof DemoOptions>;

// Windows of the demo: long enough for the larger part of a simulated record, short enough for minutes on two cores.
const windows: TrainConfigInput = { contextTokens: 256, futureTokens: 128, tokensPerStep: 2048 };
// What learns most from few tokens (docs/study.md).
const optimizer: TrainConfigInput['optimizer'] = { matrixUpdate: 'muon', learningRate: 3e-3 };
/** Of all hidden states: at this size one of them alone carries less of the patient (docs/study.md). */
const pooling = 'recent';
const layers = 'all';

const trained = [
	{ name: 'sft', label: 'SFT', objective: objectivePresets.sft, description: 'next-token prediction alone' },
	{
		name: 'sft+jepa',
		label: 'SFT + JEPA',
		objective: objectivePresets['smb-structure'],
		description: 'next-token and latent prediction (EMA target encoder) from step 0',
	},
] as const;

/**
 * Training options of both runs from `--set`, over the demo's own windows and optimiser.
 *
 * @throws {ConfigError} For what is no option, breaks its rule, or is the demo's to decide.
 */
export function demoTraining(settings?: readonly string[]): TrainConfigInput {
	const train = applySettings('demo', TrainConfig, { optimizer } as TrainConfigInput, settings);
	for (const [name, instead] of [
		['steps', 'use --steps'],
		['seed', 'use --seed'],
		['objective', 'the demo compares two; train takes any'],
	] as const) {
		if (name in train) throw new ConfigError(`[demo] --set must leave ${name} to the demo but sets it; ${instead}`);
	}
	parseConfig('demo', TrainConfig, { ...windows, ...train });
	return train;
}

/** Chooses the folder of a demo: an unfinished one with the same options is continued, a finished one is never touched. */
export async function demoFolder(wanted: string, explicit: boolean, options: DemoOptions): Promise<string> {
	for (let number = 1; ; number++) {
		const folder = number === 1 ? wanted : `${wanted}-${number}`;
		const names = (await readdir(folder).catch(() => [])).filter((name) => !isUnfinished(name));
		if (names.length === 0) return folder;
		const same = await readJson(join(folder, 'demo.json'), { scope: 'demo' })
			.then((found) => JSON.stringify(DemoOptions.parse(found)) === JSON.stringify(options))
			.catch(() => false);
		if (same && !names.includes('report.html')) return folder;
		if (explicit) {
			const why = same ? 'a finished demo' : 'something else';
			throw new OutputError(
				`[demo] --out must be empty, absent or an unfinished demo with the same options but ${folder} holds ${why}; choose another folder`,
			);
		}
	}
}

export interface DemoResult {
	readonly folder: string;
	readonly report: string;
	readonly evaluation: EvaluationFile;
	readonly stageSeconds: Readonly<Record<string, number>>;
	readonly peakRssMiB: number;
}

/** The whole method: data, tokens, two trainings from the same initial weights, states, probes, report. */
export async function runDemo(
	folder: string,
	options: DemoOptions,
	context: CommandContext,
	device: Device,
): Promise<DemoResult> {
	using _lock = lockFolder(folder);
	await writeWhole(join(folder, 'demo.json'), `${JSON.stringify(options, undefined, '\t')}\n`);
	const stageSeconds: Record<string, number> = {};
	const stage = async <T>(name: string, run: () => Promise<T>): Promise<T> => {
		const started = performance.now();
		const result = await run();
		stageSeconds[name] = (performance.now() - started) / 1000;
		context.say(`${name.padEnd(18)} done in ${duration(stageSeconds[name]!)}`);
		return result;
	};

	const meds = options.meds ?? join(folder, 'cohort');
	if (options.meds === null && !(await exists(meds))) {
		await stage('simulate', () => simulateCohort(meds, { patients: options.patients }, context.operation('simulate')));
	}
	const storePath = join(folder, 'store');
	if (!(await exists(storePath)))
		await stage('tokenise', () =>
			prepareStore(meds, storePath, { lifeCodes: options.lifeCodes }, context.operation('tokenise')),
		);
	const tasks = join(folder, 'tasks');
	if (!(await exists(tasks))) {
		await stage('index dates', async () => {
			const labels = options.meds === null ? undefined : join(options.meds, 'tasks');
			const external = labels !== undefined && (await exists(labels)) ? { externalLabels: labels } : {};
			return buildTasks(
				meds,
				tasks,
				{ tasks: definitionsFor(await openMeds(meds)), seed: options.seed, lifeCodes: options.lifeCodes, ...external },
				context.operation('index dates'),
			);
		});
	}

	const store = await openTokenStore(storePath);
	try {
		let computeDtype: ComputeDtype | undefined;
		for (const model of trained) {
			// The same seed: both start from the same weights and see the same windows.
			const config = {
				...windows,
				...(computeDtype === undefined ? {} : { computeDtype }),
				...options.train,
				seed: options.seed,
				steps: options.steps,
				objective: model.objective,
			};
			const operation = { ...context.operation(`train ${model.label}`), device };
			const run = join(folder, 'runs', model.name);
			await stage(`train ${model.label}`, () => trainRun(run, store, config, operation));
			// Both are computed alike, also where another machine goes on with the second.
			computeDtype = (await RunFolder.open(run)).config.train.computeDtype;
		}
		const models = await stage('embed', () => embedAll(folder, store, tasks, context, device));
		const evaluationPath = join(folder, 'evaluation.json');
		// Of simulated patients: a report of real ones holds single patients only when asked for (docs/report.md).
		const trajectories = options.meds === null ? { trajectories: join(folder, 'trajectories.json') } : {};
		const evaluation = await stage('probe', () =>
			evaluate(
				{ meds, tasks, models, out: evaluationPath, seed: options.seed, store: storePath, ...trajectories },
				context.operation('probe'),
			),
		);
		const report = join(folder, 'report.html');
		await stage('report', async () =>
			writeReport(report, {
				evaluation: evaluationPath,
				...trajectories,
				runs: trained.map(({ name, label }) => ({ name, label, directory: join(folder, 'runs', name) })),
				title: `Patient world model: ${(await openMeds(meds)).name}`,
			}),
		);
		return { folder, report, evaluation, stageSeconds, peakRssMiB: Math.round(process.resourceUsage().maxRSS / 1024) };
	} finally {
		await store.close();
	}
}

async function embedAll(
	folder: string,
	store: TokenStore,
	tasks: string,
	context: CommandContext,
	device: Device,
): Promise<(EvaluatedModel & { readonly embeddings: string })[]> {
	const folderOfTasks = await readTasks(tasks);
	await makeFolder(join(folder, 'embeddings'));
	const result: (EvaluatedModel & { embeddings: string })[] = [];
	const encoders = [
		...trained.map(({ name, label, description }) => ({
			name,
			label,
			description,
			run: name,
			kind: 'encoder' as const,
		})),
		{
			name: 'untrained',
			label: 'Untrained encoder',
			description: 'the initial weights of both runs',
			run: trained[0].name,
			kind: 'untrained' as const,
		},
	];
	for (const { name, label, description, run, kind } of encoders) {
		const embeddings = join(folder, 'embeddings', `${name}.parquet`);
		if (!(await exists(embeddings))) {
			await embedRun(embeddings, join(folder, 'runs', run), store, folderOfTasks, {
				...context.operation(`embed ${label}`),
				device,
				pooling,
				layers,
				weights: kind === 'untrained' ? 'initial' : 'newest',
			});
		}
		result.push({
			name,
			label,
			kind,
			description: `${description}; mean over the window of every block’s states, recent tokens weighing more`,
			...(kind === 'encoder' ? { run: join('runs', run) } : {}),
			embeddings,
		});
	}
	return result;
}
