import { dirname, join } from 'node:path';
import { latentsFolder } from '../cohort/latent-writer.js';
import { simulateCohort } from '../cohort/simulate.js';
import { parseConfig } from '../config.js';
import { LifeCodes } from '../data/life-codes.js';
import { openMeds } from '../data/meds.js';
import { AbortedError, OutputError } from '../errors.js';
import { baselines } from '../evaluate/baselines.js';
import { readEmbeddings } from '../evaluate/embeddings.js';
import { writeHeldOutLosses } from '../evaluate/held-out-losses.js';
import { readSamples } from '../evaluate/samples.js';
import { ceilingModel, ceilingReadings } from '../evaluate/simulator-ceiling.js';
import { exists, requireEmptyFolder } from '../files/exists.js';
import { readJson } from '../files/json.js';
import { lockFolder } from '../files/lock.js';
import { requirePath } from '../files/path.js';
import { makeFolder, writeWhole } from '../files/whole.js';
import type { OnDevice } from '../model/device.js';
import { objectivePresets } from '../objective/objective.js';
import { embedRun } from '../pipeline/embed-run.js';
import { isTrained, trainRun } from '../pipeline/train-run.js';
import { prepareStore } from '../prepare/prepare.js';
import { openTokenStore } from '../store/token-store.js';
import { buildTasks } from '../tasks/build.js';
import { simulatedTasks } from '../tasks/definitions.js';
import type { LongOperation } from '../types.js';
import {
	fixedOptions,
	type ParsedStudyOptions,
	readingName,
	type StudyModel,
	StudyOptions,
	studyModels,
} from './options.js';
import { madeAgain, writeLatentReadings, writeReading } from './readings.js';
import type { StudyFile } from './study-file.js';
import { StudyFolder } from './study-folder.js';
import { studyMarkdown } from './study-markdown.js';
import { type StudyData, summarise } from './summarise.js';

/**
 * Compares training objectives on a simulated cohort: every variant from the same initial weights and windows for each
 * seed, read by the same probes on the same held-out patients, with paired patient-level intervals. Protocol: docs/study.md.
 *
 * Every run, embedding, reading and table is a file of `folder`, made whole or not at all: killed at any moment, the same
 * call goes on, and makes the same `study.json`. More seeds or variants can be asked for later; less are then read.
 *
 * @throws {ConfigError} {OutputError} When the folder holds a study of other options. {AbortedError} {DataError}
 * {CheckpointError} {NativeError} {SetupError}
 */
export async function runStudy(
	folder: string,
	options: StudyOptions = {},
	operation: LongOperation & OnDevice = {},
): Promise<StudyFile> {
	requirePath('study', 'folder', folder);
	const config = parseConfig('study', StudyOptions, options);
	const files = new StudyFolder(folder);
	using _lock = lockFolder(folder);
	await claimFolder(files, config);
	if (!(await exists(files.cohort)))
		await simulateCohort(files.cohort, { patients: config.patients, seed: config.seed }, operation);
	if (!(await exists(files.store))) await prepareStore(files.cohort, files.store, {}, operation);
	if (!(await exists(files.tasks))) {
		const { indexDatesPerPatient: perPatient, seed } = config;
		await buildTasks(files.cohort, files.tasks, { tasks: [...simulatedTasks], perPatient, seed }, operation);
	}
	const dataset = await openMeds(files.cohort);
	const store = await openTokenStore(files.store);
	try {
		const samples = await readSamples(files.tasks, join(files.cohort, latentsFolder), operation.onWarning);
		const models = studyModels(
			config,
			baselines.map(({ about }) => about),
			ceilingModel,
		);
		await doWork(await planWork(files, config, models, { dataset, store, samples }, operation), operation);
		const result = await summarise(files, config, models, { dataset, store, samples }, operation);
		await writeWhole(files.result, `${JSON.stringify(result, undefined, '\t')}\n`);
		await writeWhole(files.tables, studyMarkdown(result));
		return result;
	} finally {
		await store.close();
	}
}

/** Takes a new folder, or one of the same study. */
async function claimFolder({ path, options: file }: StudyFolder, config: ParsedStudyOptions): Promise<void> {
	const wanted = fixedOptions(config);
	if (await exists(file)) {
		const found = (await readJson(file, madeAgain)) as Record<string, unknown>;
		const differing = [...new Set([...Object.keys(wanted), ...Object.keys(found)])].filter(
			(name) => JSON.stringify(wanted[name]) !== JSON.stringify(found[name]),
		);
		if (differing.length === 0) return;
		throw new OutputError(
			`[study] ${path} must hold a study of the same options but differs in ${differing.map((name) => `${name} (${JSON.stringify(found[name])}, now ${JSON.stringify(wanted[name])})`).join(', ')}; choose another folder`,
		);
	}
	await requireEmptyFolder(path);
	await writeWhole(file, `${JSON.stringify(wanted, undefined, '\t')}\n`);
}

/** A file to be made. */
interface Work {
	readonly name: string;
	/** In steps of training, so that progress over all of them has one rate. */
	readonly cost: number;
	readonly isWhole: () => Promise<boolean>;
	/** @param report - Told of the share that is done. */
	readonly make: (operation: LongOperation, report: (share: number, note?: string) => void) => Promise<void>;
}

/** Everything between the data and the tables, seed by seed, so that an unfinished study still has whole seeds. */
async function planWork(
	files: StudyFolder,
	config: ParsedStudyOptions,
	models: readonly StudyModel[],
	{ dataset, store, samples }: StudyData,
	{ device }: OnDevice,
): Promise<Work[]> {
	const { pooling, layers } = config;
	const reading = readingName(config);
	// A forward pass is a third of a step; the probes of a model cost about as much as its states.
	const tokens = samples.indexDates.length * config.contextTokens;
	const readingCost = Math.ceil(tokens / config.tokensPerStep / 3);
	const work = baselines.map(
		({ about: { name }, features }): Work => ({
			name: `${name}: probes`,
			cost: readingCost,
			isWhole: () => exists(files.reading(null, name, reading)),
			make: async ({ signal }) => {
				const table = await features({ dataset, indexDates: samples.indexDates, lifeCodes: new LifeCodes(), signal });
				await writeReading(await placeFor(files.reading(null, name, reading)), table, samples, signal);
			},
		}),
	);
	const ceiling = files.reading(null, ceilingModel.name, reading);
	work.push({
		name: `${ceilingModel.name}: filter`,
		cost: readingCost,
		isWhole: () => exists(ceiling),
		make: async ({ signal }) =>
			writeLatentReadings(
				await placeFor(ceiling),
				await ceilingReadings(dataset, samples.latents, config.seed, signal),
			),
	});
	for (let seed = 1; seed <= config.seeds; seed++) {
		for (const { name, kind } of models) {
			if (kind !== 'encoder' && kind !== 'untrained') continue;
			const run = files.run(seed, kind === 'encoder' ? name : config.variants[0]!);
			const embeddings = files.embeddings(seed, name, reading);
			if (kind === 'encoder') {
				const losses = files.losses(seed, name);
				work.push({
					name: `seed ${seed}, ${name}: training`,
					cost: config.steps,
					isWhole: () => isTrained(run),
					make: (operation, report) =>
						trainRun(run, store, trainConfigOf(config, name as keyof typeof objectivePresets, seed), {
							...operation,
							device,
							onProgress: ({ done, note }) => report(done / config.steps, note),
						}),
				});
				work.push({
					name: `seed ${seed}, ${name}: held-out losses`,
					cost: 1,
					isWhole: () => exists(losses),
					make: async ({ signal }) =>
						writeHeldOutLosses(await placeFor(losses), run, store, config.seed, { signal, device }),
				});
			}
			work.push({
				name: `seed ${seed}, ${name}: states`,
				cost: readingCost,
				isWhole: () => exists(embeddings),
				make: async (operation, report) => {
					await embedRun(
						await placeFor(embeddings),
						run,
						store,
						{ list: samples.taskList, indexDates: samples.indexDates },
						{
							...operation,
							device,
							pooling,
							layers,
							weights: kind === 'encoder' ? 'newest' : 'initial',
							onProgress: ({ done, total }) => report(done / (total ?? done)),
						},
					);
				},
			});
			work.push({
				name: `seed ${seed}, ${name}: probes`,
				cost: readingCost,
				isWhole: () => exists(files.reading(seed, name, reading)),
				make: async ({ signal }) =>
					writeReading(
						await placeFor(files.reading(seed, name, reading)),
						await readEmbeddings(embeddings),
						samples,
						signal,
					),
			});
		}
	}
	return work;
}

/** Makes what is not whole yet. */
async function doWork(work: readonly Work[], operation: LongOperation): Promise<void> {
	const missing: Work[] = [];
	for (const one of work) if (!(await one.isWhole())) missing.push(one);
	const total = work.reduce((sum, { cost }) => sum + cost, 0);
	let done = total - missing.reduce((sum, { cost }) => sum + cost, 0);
	const report = (name: string, extra: number, note?: string) =>
		operation.onProgress?.({
			stage: 'study',
			done: Math.round(done + extra),
			total,
			unit: 'steps',
			note: note === undefined ? name : `${name}, ${note}`,
		});
	for (const { name, cost, make } of missing) {
		if (operation.signal?.aborted) throw new AbortedError('[study] aborted', { cause: operation.signal.reason });
		report(name, 0);
		await make(
			{ signal: operation.signal, onWarning: (message) => operation.onWarning?.(`${name}: ${message}`) },
			(share, note) => report(name, share * cost, note),
		);
		done += cost;
		report(name, 0);
	}
}

/** The same for every variant of a seed but the objective. */
function trainConfigOf(config: ParsedStudyOptions, variant: keyof typeof objectivePresets, seed: number) {
	const { model, nextTokenOn, contextTokens, futureTokens, tokensPerStep, steps, optimizer } = config;
	const objective = objectivePresets[variant];
	return {
		seed,
		model,
		objective: { ...objective, nextToken: objective.nextToken && { on: nextTokenOn } },
		contextTokens,
		futureTokens,
		tokensPerStep,
		steps,
		optimizer,
		// Of all runs, whichever machine makes them or goes on with them.
		computeDtype: 'float32' as const,
		// Curves with twenty readings are enough here; more of them cost a tenth of the training.
		collapseEvery: Math.ceil(steps / 20),
		tuningEvery: Math.ceil(steps / 5),
		keepCheckpoints: 1,
	};
}

async function placeFor(file: string): Promise<string> {
	await makeFolder(dirname(file));
	return file;
}
