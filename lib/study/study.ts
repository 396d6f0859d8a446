import { join } from 'node:path';
import { latentsFolder } from '../cohort/latent-writer.js';
import { simulateCohort } from '../cohort/simulate.js';
import { parseConfig } from '../config.js';
import { LifeCodes } from '../data/life-codes.js';
import { openMeds } from '../data/meds.js';
import { baselines } from '../evaluate/baselines.js';
import { readEmbeddings } from '../evaluate/embeddings.js';
import { readSamples } from '../evaluate/samples.js';
import { ceilingModel, ceilingReadings } from '../evaluate/simulator-ceiling.js';
import { readSurvivalSamples } from '../evaluate/survival/survival-samples.js';
import { exists } from '../files/exists.js';
import { lockFolder } from '../files/lock.js';
import { requirePath } from '../files/path.js';
import { writeWhole } from '../files/whole.js';
import type { OnDevice } from '../model/device.js';
import { prepareStore } from '../prepare/prepare.js';
import { openTokenStore } from '../store/token-store.js';
import { buildTasks } from '../tasks/build.js';
import { simulatedTasks } from '../tasks/definitions.js';
import type { LongOperation } from '../types.js';
import { claimFolder } from './claim-folder.js';
import {
	fixedOptions,
	type ParsedStudyOptions,
	readingName,
	type StudyModel,
	StudyOptions,
	studyModels,
} from './options.js';
import { writeLatentReadings, writeReading } from './readings.js';
import type { StudyFile } from './study-file.js';
import { StudyFolder } from './study-folder.js';
import { studyMarkdown } from './study-markdown.js';
import { type StudyData, summarise } from './summarise.js';
import { doWork, encoderWork, placeFor, readingCost, type Work } from './work.js';

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
	await claimFolder('study', folder, files.options, fixedOptions(config));
	if (!(await exists(files.cohort)))
		await simulateCohort(files.cohort, { patients: config.patients, seed: config.seed }, operation);
	if (!(await exists(files.store))) await prepareStore(files.cohort, files.store, {}, operation);
	if (!(await exists(files.tasks))) {
		const { indexDatesPerPatient: perPatient, seed } = config;
		const tasks = config.tasks ?? [...simulatedTasks];
		await buildTasks(files.cohort, files.tasks, { tasks, perPatient, seed }, operation);
	}
	const dataset = await openMeds(files.cohort);
	const store = await openTokenStore(files.store);
	try {
		const read = await readSamples(files.tasks, join(files.cohort, latentsFolder), operation.onWarning);
		const survival = await readSurvivalSamples(files.tasks, read);
		const samples = { ...read, survival, probe: config.timeToEventProbe ?? 'cox' } as const;
		const models = studyModels(
			config,
			baselines.map(({ about }) => about),
			ceilingModel,
		);
		await doWork('study', await planWork(files, config, models, { dataset, store, samples }, operation), operation);
		const result = await summarise(files, config, models, { dataset, store, samples }, operation);
		await writeWhole(files.result, `${JSON.stringify(result, undefined, '\t')}\n`);
		await writeWhole(files.tables, studyMarkdown(result));
		return result;
	} finally {
		await store.close();
	}
}

/** Everything between the data and the tables, seed by seed, so that an unfinished study still has whole seeds. */
async function planWork(
	files: StudyFolder,
	config: ParsedStudyOptions,
	models: readonly StudyModel[],
	{ dataset, store, samples }: StudyData,
	{ device }: OnDevice,
): Promise<Work[]> {
	const reading = readingName(config);
	const cost = readingCost(config, samples);
	const work = baselines.map(
		({ about: { name }, features }): Work => ({
			name: `${name}: probes`,
			cost,
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
		cost,
		isWhole: () => exists(ceiling),
		make: async ({ signal }) =>
			writeLatentReadings(
				await placeFor(ceiling),
				await ceilingReadings(dataset, samples.latents, config.seed, signal),
			),
	});
	for (let seed = 1; seed <= config.seeds; seed++) {
		for (const model of models) {
			if (model.kind !== 'encoder' && model.kind !== 'untrained') continue;
			const file = files.reading(seed, model.name, reading);
			work.push(...encoderWork(files, config, seed, model, { store, samples, device }), {
				name: `seed ${seed}, ${model.name}: probes`,
				cost,
				isWhole: () => exists(file),
				make: async ({ signal }) => {
					const states = await readEmbeddings(files.embeddings(seed, model.name, reading));
					await writeReading(await placeFor(file), states, samples, signal);
				},
			});
		}
	}
	return work;
}
