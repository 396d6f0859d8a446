import { join } from 'node:path';
import { z } from 'zod';
import { latentsFolder } from '../cohort/latent-writer.js';
import { cohortName } from '../cohort/simulate.js';
import { filePath, parseConfig, seed } from '../config.js';
import { LifeCodes } from '../data/life-codes.js';
import { type MedsDataset, openMeds } from '../data/meds.js';
import { AbortedError, ConfigError, DataError } from '../errors.js';
import { exists } from '../files/exists.js';
import { writeWhole, writeWholeFolder } from '../files/whole.js';
import { alone, type WorkDivision } from '../ranks/work-division.js';
import { readStoreManifest, type StoreManifest, storeSummary } from '../store/manifest.js';
import { describeDecidingCode } from '../tasks/deciding-codes.js';
import { readTasks, type TaskListEntry } from '../tasks/read.js';
import { readIndexRules } from '../tasks/read-index-rules.js';
import type { CohortFlowRow, LongOperation } from '../types.js';
import { ahead } from './ahead.js';
import type { BaselineInput } from './baseline-tables.js';
import { type Baseline, baselines, boostedBaseline } from './baselines.js';

import { writeTaskClassPredictions } from './classes/class-predictions.js';
import { classFlow, classResults, emptyClassEvaluation } from './classes/class-results.js';
import { readClassSamples } from './classes/class-samples.js';
import { readEmbeddings } from './embeddings.js';
import { EvaluatedModel, EvaluationFile } from './evaluation-file.js';
import { evaluationKey } from './evaluation-key.js';
import type { FeatureTable } from './features.js';
import { smallestDraws } from './intervals.js';
import type { LatentTargets } from './latent-state.js';
import { requireFolderName, writeTaskPredictions } from './predictions.js';
import { readProvenance, requireProvenance, requireSameSource } from './provenance.js';
import { type LatentReading, ModelReader, type Reader, type TaskReading } from './reading.js';
import { latentStateResults, type Read, taskResults } from './results.js';
import type { RolloutTable } from './rollout.js';
import { evaluateRollout } from './rollout-evaluation.js';
import { readRollout } from './rollout-file.js';
import { commonSamples, type EvaluationSamples, readSamples, type TaskSamples } from './samples.js';
import { ceilingModel, ceilingReadings } from './simulator-ceiling.js';
import { coverageNote, stateCoverage } from './state-coverage.js';
import { divide } from './subgroups.js';
import { survivalProbeKinds } from './survival/survival-file.js';
import { writeTimeToEventPredictions } from './survival/survival-predictions.js';
import { emptyTimeToEvent, survivalResults, timeToEventFlow } from './survival/survival-results.js';
import { commonSurvivalSamples, readSurvivalSamples } from './survival/survival-samples.js';
import { fitsOf, TrainingSizes, trainingSizeResults } from './training-sizes.js';
import { trajectories, writeTrajectories } from './trajectories.js';
import { windowBaselines, windowCountsName } from './window-counts.js';

/** What the file has of each kind of task. */
interface PartOfFile {
	readonly results: unknown[];
	readonly strata: unknown[];
	readonly differences: unknown[];
}

export const EvaluateOptions = z.strictObject({
	/** MEDS folder: labels' history, count features, true latent states. */
	meds: filePath,
	/** Folder written by `buildTasks`. */
	tasks: filePath,
	/** Encoders with their embeddings (parquet written by `writeEmbeddings`) and rollouts (`writeRollout`), if any. The baselines are always added. */
	models: z
		.array(EvaluatedModel.omit({ states: true }).extend({ embeddings: filePath, rollout: filePath.optional() }))
		.min(1),
	/** Where evaluation.json is written. */
	out: filePath,
	seed: seed.default(1),
	/** Bootstrap resamples; fewer than 40 hold no 2.5 % at either end. */
	draws: z.int().min(smallestDraws).default(1000),
	/** Token store of the embeddings: its cohort flow and summary go into the file, for the report. */
	store: filePath.optional(),
	/**
	 * New folder for held-out predictions in meds-evaluation's schema: `<model>/<task>/<horizon>d/held_out.parquet`; of times to
	 * events risks, `<model>/<task>/time-to-event/held_out.parquet`.
	 */
	predictions: filePath.optional(),
	/** Also fits every model on small training sets. */
	trainingSizes: TrainingSizes.optional(),
	/** Where trajectories.json is written: the course of single held-out patients and a map of states, for the report. */
	trajectories: filePath.optional(),
	/** Subjects whose course it holds; empty: three that the seed draws. */
	patients: z.array(z.string().regex(/^-?\d{1,18}$/, 'must be a subject id')).default([]),
	/** How times to events are read: Cox regression, or hazards of discrete periods. */
	timeToEventProbe: z.enum(survivalProbeKinds).default('cox'),
	/** Beginnings of codes by which results are divided beside sex and age, such as `RACE//`. */
	subgroups: z.array(z.string().min(1)).default([]),
});
export type EvaluateOptions = z.input<typeof EvaluateOptions>;

const level = 0.95;
/** Patients whose course is shown when none is named. */
const drawnPatients = 3;

/**
 * Reads frozen states by linear probes: AUROC, average precision, Brier score and calibration by task and horizon, index rule,
 * days since an anchor and subgroup, with patient-level bootstrap intervals and paired differences; on a simulated cohort also
 * R² of the true latent state. Writes `evaluation.json`. Protocol: docs/evaluation.md.
 *
 * @throws {DataError} {ConfigError} {OutputError} {AbortedError} {NativeError}
 */
export async function evaluate(options: EvaluateOptions, operation: LongOperation = {}): Promise<EvaluationFile> {
	return (await evaluateTogether(options, operation, alone))!;
}

/**
 * As {@link evaluate}, by processes that share the tasks among themselves.
 *
 * @returns Undefined in one that does not write the file.
 */
export async function evaluateTogether(
	options: EvaluateOptions,
	operation: LongOperation,
	division: WorkDivision,
): Promise<EvaluationFile | undefined> {
	const config = parseConfig('evaluate', EvaluateOptions, options);
	requireNames(config.models.map(({ name }) => name));
	if (config.patients.length > 0 && config.trajectories === undefined)
		throw new ConfigError('[evaluate] patients must come with trajectories, the file of their course, but come alone');
	if (config.predictions !== undefined) for (const { name } of config.models) requireFolderName(name);
	const dataset = await openMeds(config.meds);
	if (dataset.hiddenNote !== undefined) operation.onWarning?.(`${config.meds}: ${dataset.hiddenNote}`);
	const manifest = config.store === undefined ? undefined : await readStoreManifest(config.store);
	if (manifest !== undefined) {
		const file = join(config.store!, 'manifest.json');
		requireDataset(dataset, file, manifest.dataset.fingerprint, 'give the token store of the embeddings');
	}
	const { list: taskList } = await readTasks(config.tasks);
	const tasksFile = join(config.tasks, 'tasks.json');
	requireDataset(dataset, tasksFile, taskList.dataFingerprint, 'build the tasks again');
	requireSplits(dataset, tasksFile, taskList.splitting.fingerprint);
	if (manifest !== undefined) requireSameSource(config.store!, manifest, taskList, 'evaluate');
	const latents = join(config.meds, latentsFolder);
	const simulated = dataset.name === cohortName && (await exists(latents));
	const all = await readSamples(config.tasks, simulated ? latents : undefined, operation.onWarning);
	await division.begin(await evaluationKey(config, dataset, manifest, taskList));
	const models: { readonly about: EvaluatedModel; readonly reader: Reader }[] = [];
	for (const { embeddings, rollout: _, ...about } of config.models) {
		const table = await readEmbeddings(embeddings);
		const source = await readProvenance(embeddings);
		if (source !== undefined) requireProvenance(embeddings, source, taskList, manifest);
		const states = stateCoverage(embeddings, table.samples, all.indexDates, source);
		const note = coverageNote(about.name, states);
		if (note !== undefined) operation.onWarning?.(note);
		models.push({ about: { ...about, states }, reader: new ModelReader(table) });
	}
	const input: BaselineInput = {
		dataset,
		indexDates: all.indexDates,
		lifeCodes: new LifeCodes(taskList.lifeCodes),
		hiddenCodes: taskList.hiddenCodes,
		signal: operation.signal,
	};
	const windows = models.flatMap(({ about }) => about.states?.source?.contextTokens ?? []);
	if (config.store === undefined && windows.length > 0)
		operation.onWarning?.('no counts of exactly the window that the encoder saw: they need its token store (--store)');
	const tables = new Map<Baseline['features'], Promise<FeatureTable>>();
	for (const { about, features, reader } of [
		...baselines,
		boostedBaseline,
		...(config.store === undefined ? [] : windowBaselines(config.store, windows)),
	]) {
		const table = tables.get(features) ?? features(input);
		tables.set(features, table);
		models.push({ about, reader: reader === undefined ? new ModelReader(await table) : reader(await table) });
	}
	const divisions = await divide(input, await readIndexRules(config.tasks), config.subgroups);
	const samples = commonSamples(
		all,
		models.map(({ reader }) => reader.samples),
	);
	const bootstrap = { draws: config.draws, level, seed: config.seed, signal: operation.signal };
	const rolledOut = simulated ? config.models.filter(({ rollout }) => rollout !== undefined) : [];
	const survival = commonSurvivalSamples(
		await readSurvivalSamples(config.tasks, all),
		models.map(({ reader }) => reader.samples),
	);
	const classTasks = await readClassSamples(
		config.tasks,
		all,
		models.map(({ reader }) => reader.samples),
	);
	const fits = config.trainingSizes === undefined ? 0 : fitsOf(config.trainingSizes) * models.length;
	const total =
		samples.tasks.length * (1 + fits) + survival.length + classTasks.length + samples.latents.length + rolledOut.length;
	const file = describe(config, dataset, manifest, simulated, samples, models);
	if (simulated) file.models.push(ceilingModel);
	// First, since a patient who is named may not be there.
	const courses =
		config.trajectories === undefined || !division.writes
			? undefined
			: await trajectories(
					input,
					samples,
					models.map(({ about, reader }) => ({ about, table: reader.table, rowOf: reader.samples })),
					{ subjects: config.patients, count: drawnPatients, seed: config.seed },
				);
	let done = 0;
	const report = () =>
		operation.onProgress?.({ stage: 'probe', done: ++done, total, unit: fits > 0 ? 'fits' : 'tasks' });
	const readAll = async <Reading>(read: (reader: Reader) => Promise<Reading>): Promise<Read<Reading>[]> => {
		const readings: Read<Reading>[] = [];
		for (const { about, reader } of models) {
			if (operation.signal?.aborted) throw new AbortedError('[evaluate] aborted', { cause: operation.signal.reason });
			readings.push({ about, reading: await read(reader) });
		}
		return readings;
	};
	const readModels = (task: TaskSamples) => readAll((reader) => reader.task(task));
	// Readings travel between processes only where somebody writes them.
	const forPredictions = <Reading>(read: readonly Read<Reading>[]) => (config.predictions === undefined ? [] : read);
	const taskRead = async (task: TaskSamples, read: readonly Read<TaskReading>[]) => {
		const results = await taskResults(task, read, divisions, bootstrap);
		report();
		const sizes =
			config.trainingSizes === undefined
				? []
				: await trainingSizeResults(task, models, config.trainingSizes, bootstrap, report);
		return { ...results, sizes, read: forPredictions(read) };
	};
	/** Tasks of another kind than yes and no, into their part of the file. */
	const readPart = async <Task, Reading, Part extends PartOfFile>(
		tasks: readonly Task[],
		into: Part,
		read: (reader: Reader, task: Task) => Promise<Reading>,
		results: (task: Task, read: readonly Read<Reading>[]) => Promise<Pick<Part, keyof PartOfFile>>,
		write: (task: Task, read: readonly Read<Reading>[]) => Promise<void>,
	) => {
		const compute = async (task: Task) => {
			const readings = await readAll((reader) => read(reader, task));
			const found = await results(task, readings);
			report();
			return { ...found, read: forPredictions(readings) };
		};
		for await (const [task, found] of division.each(() => tasks, compute)) {
			if (found === undefined) continue;
			await write(task, found.read);
			into.results.push(...found.results);
			into.strata.push(...found.strata);
			into.differences.push(...found.differences);
		}
	};
	const readEach = async (folder?: string) => {
		// Probes are fitted in the core while resamples are read here.
		const fitted = ahead(division.own(samples.tasks), readModels);
		const compute = async (task: TaskSamples) => taskRead(task, ((await fitted.next()).value as [unknown, []])[1]);
		for await (const [task, found] of division.each(() => samples.tasks, compute)) {
			if (found === undefined) continue;
			if (folder !== undefined) await writeTaskPredictions(folder, task, found.read);
			file.probes.push(...found.probes);
			file.strata.push(...found.strata);
			file.strataDifferences.push(...found.strataDifferences);
			file.differences.push(...found.differences);
			file.trainingSizes.push(...found.sizes);
		}
		if (classTasks.length > 0) {
			file.classes = emptyClassEvaluation(classTasks);
			await readPart(
				classTasks,
				file.classes,
				(reader, task) => reader.classes(task),
				(task, read) => classResults(task, read, divisions, bootstrap),
				async (task, read) => {
					if (folder !== undefined) await writeTaskClassPredictions(folder, task, read);
				},
			);
		}
		if (survival.length > 0) {
			file.timeToEvent = emptyTimeToEvent(config.timeToEventProbe, survival);
			await readPart(
				survival,
				file.timeToEvent,
				(reader, task) => reader.survival(task, config.timeToEventProbe),
				(task, read) => survivalResults(task, read, divisions, bootstrap),
				async (task, read) => {
					if (folder !== undefined) await writeTimeToEventPredictions(folder, task, read);
				},
			);
		}
	};
	if (config.predictions === undefined || !division.writes) await readEach();
	else await writeWholeFolder(config.predictions, readEach);
	// The filter goes through all horizons at once: they are one piece.
	const latentsRead = async (all: readonly LatentTargets[]) => {
		const ceiling = simulated ? await ceilingReadings(dataset, all, config.seed, operation.signal) : [];
		const results: Awaited<ReturnType<typeof latentStateResults>>[] = [];
		for (const [i, targets] of all.entries()) {
			const read = await readAll<LatentReading>((reader) => reader.latentState(targets));
			read.push({ about: ceilingModel, reading: ceiling[i]! });
			results.push(await latentStateResults(targets, read, bootstrap));
			report();
		}
		return results;
	};
	for await (const [, results] of division.each(() => [samples.latents], latentsRead)) {
		for (const { latentState, differences } of results ?? []) {
			file.latentState.push(...latentState);
			file.differences.push(...differences);
		}
	}
	const rolloutRead = async ({ name, rollout, embeddings }: (typeof rolledOut)[number]) => {
		const table = await readRollout(rollout!);
		await checkRollout(rollout!, table, embeddings, all, manifest);
		const results = await evaluateRollout(name, table, all.indexDates, all.latents, bootstrap);
		report();
		return results;
	};
	for await (const [, results] of division.each(() => rolledOut, rolloutRead)) file.rollout.push(...(results ?? []));
	if (!division.writes) return undefined;
	if (courses !== undefined) await writeTrajectories(config.trajectories!, courses);
	const checked = EvaluationFile.parse(file);
	await writeWhole(config.out, `${JSON.stringify(checked, undefined, '\t')}\n`);
	return checked;
}

/** @throws {ConfigError} When two models have one name: their results could not be told apart. */
function requireNames(names: readonly string[]): void {
	const own = [...[...baselines, boostedBaseline].map(({ about }) => about.name), windowCountsName, ceilingModel.name];
	const all = [...names, ...own];
	const twice = all.find((name, i) => all.indexOf(name) !== i || name.startsWith(`${windowCountsName}-`));
	if (twice === undefined) return;
	throw new ConfigError(
		`[evaluate] models must have different names (${own.join(', ')} are those that are always read) but two are called ${twice}`,
	);
}

/** @throws {DataError} When predicted states are of another run, of other data or not of every sample. */
async function checkRollout(
	file: string,
	{ samples }: RolloutTable,
	embeddings: string,
	{ taskList, indexDates }: EvaluationSamples,
	manifest: StoreManifest | undefined,
): Promise<void> {
	const source = await readProvenance(file);
	const dates = samples.map(({ sample }) => sample);
	stateCoverage(file, dates, indexDates, source);
	if (source === undefined) return;
	requireProvenance(file, source, taskList, manifest);
	const states = await readProvenance(embeddings);
	if (states === undefined || (states.run === source.run && states.step === source.step)) return;
	throw new DataError('evaluate', {
		file,
		rule: `must be made with the weights of ${embeddings} (${states.run.slice(0, 12)}, step ${states.step})`,
		value: `${source.run.slice(0, 12)}, step ${source.step}`,
		fix: 'write both with one embed --rollout',
	});
}

/** @throws {DataError} When subjects have changed their split. */
function requireSplits({ splits }: MedsDataset, file: string, found: string): void {
	if (found === splits.fingerprint) return;
	throw new DataError('evaluate', {
		file,
		rule: `must have the splits of the data set (${splits.fingerprint.slice(0, 12)}, by ${splits.source})`,
		value: found.slice(0, 12),
		fix: 'the splits have changed: run prepare and tasks again',
	});
}

/** @throws {DataError} When a file was made from other data. */
function requireDataset({ fingerprint }: MedsDataset, file: string, found: string, fix: string): void {
	if (found === fingerprint) return;
	throw new DataError('evaluate', {
		file,
		rule: `must belong to the data set (${fingerprint.slice(0, 12)})`,
		value: found.slice(0, 12),
		fix,
	});
}

/** What else was left out of a task, and what to know of it. */
function furtherNotes({ excluded, matchingEvents, decidingCodes }: TaskListEntry): string {
	const left: readonly (readonly [count: number, what: string])[] = [
		[excluded.notAtRisk, 'not at risk'],
		[excluded.unlabelled, 'without a label'],
		[excluded.repeated, 'repeated'],
		[excluded.withoutSplit, 'of subjects in no split'],
		[excluded.withoutEvents, 'of subjects without events'],
	];
	const parts = left.filter(([count]) => count > 0).map(([count, what]) => `, ${count} ${what}`);
	const decided = decidingCodes.map(describeDecidingCode).join('; ');
	return `${parts.join('')}${matchingEvents === 0 ? '. No event of the data matches this task' : ''}${
		decided === '' ? '' : `. The answer may stand in the history: ${decided}`
	}`;
}

/** The file without results. */
function describe(
	config: z.output<typeof EvaluateOptions>,
	dataset: MedsDataset,
	manifest: StoreManifest | undefined,
	simulated: boolean,
	{ taskList }: EvaluationSamples,
	models: readonly { readonly about: EvaluatedModel }[],
): EvaluationFile {
	const flow = taskList.tasks.map(
		(task): CohortFlowRow => ({
			stage: `${task.label}${task.horizonDays === null ? '' : `, ${task.horizonDays} days`}`,
			patients: task.patients,
			note: `${task.samples} samples, ${task.positives} positive; left out: ${task.excluded.censored} censored, ${task.excluded.prevalent} with the diagnosis before, ${task.excluded.inBuffer} with the event on the index day${furtherNotes(task)}`,
		}),
	);
	const tasks = new Map(taskList.tasks.map(({ name, label, definition }) => [name, { name, label, definition }]));
	return {
		format: 'ehr-jepa/evaluation',
		version: 1,
		createdAt: new Date().toISOString(),
		dataset: { name: dataset.name, fingerprint: dataset.fingerprint, simulated },
		seed: config.seed,
		bootstrap: { draws: config.draws, level, unit: 'patient' },
		indexDates: { ...taskList.indexDates, rule: taskList.rule },
		tasks: [...tasks.values()],
		models: models.map(({ about }) => about),
		probes: [],
		strata: [],
		trainingSizes: [],
		strataDifferences: [],
		latentState: [],
		rollout: [],
		differences: [],
		cohortFlow: [
			...(manifest?.cohortFlow ?? []),
			...flow,
			...taskList.classes.map(classFlow),
			...taskList.timeToEvent.map(timeToEventFlow),
		],
		...(manifest === undefined ? {} : { data: storeSummary(manifest) }),
	};
}
