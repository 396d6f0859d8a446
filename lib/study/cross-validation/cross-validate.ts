import { dirname } from 'node:path';
import { parseConfig } from '../../config.js';
import { openMeds } from '../../data/meds.js';
import { baselines, boostedBaseline } from '../../evaluate/baselines.js';
import { readSamples } from '../../evaluate/samples.js';
import { exists } from '../../files/exists.js';
import { lockFolder } from '../../files/lock.js';
import { requirePath } from '../../files/path.js';
import { makeFolder, writeWhole } from '../../files/whole.js';
import type { OnDevice } from '../../model/device.js';
import { prepareStore } from '../../prepare/prepare.js';
import { openTokenStore } from '../../store/token-store.js';
import { buildTasks } from '../../tasks/build.js';
import { definitionsFor } from '../../tasks/definitions.js';
import type { LongOperation } from '../../types.js';
import { claimFolder } from '../claim-folder.js';
import { type StudyModel, studyModels } from '../options.js';
import { doWork, encoderWork, type Work } from '../work.js';
import type { CrossValidationFile } from './cross-validation-file.js';
import { CrossValidationFolder } from './cross-validation-folder.js';
import { crossValidationMarkdown } from './cross-validation-markdown.js';
import { writeFoldReadings } from './fold-readings.js';
import { dealFolds, writeFold } from './folds.js';
import { CrossValidationOptions, fixedOptions, type ParsedCrossValidationOptions } from './options.js';
import { summariseFolds } from './summarise-folds.js';

const stage = 'cross-validate';

/**
 * Compares training objectives on a data set too small for one held-out part, by repeated patient-level cross-validation:
 * vocabulary, weights, probes and their strengths are made anew from the other patients for every fold, so that each patient is
 * read by models that never saw him. Protocol: docs/study.md.
 *
 * Every run, embedding and reading is a file of `folder`, made whole or not at all: killed at any moment, the same call goes on.
 *
 * @throws {ConfigError} {OutputError} When the folder holds a cross-validation of other options. {AbortedError} {DataError}
 * {CheckpointError} {NativeError} {SetupError}
 */
export async function crossValidate(
	folder: string,
	options: CrossValidationOptions,
	operation: LongOperation & OnDevice = {},
): Promise<CrossValidationFile> {
	requirePath(stage, 'folder', folder);
	const config = parseConfig(stage, CrossValidationOptions, options);
	const files = new CrossValidationFolder(folder);
	using _lock = lockFolder(folder);
	const dataset = await openMeds(config.meds);
	const models = studyModels(
		config,
		[...baselines, boostedBaseline].map(({ about }) => about),
	);
	await claimFolder(stage, folder, files.options, { ...fixedOptions(config), data: dataset.fingerprint });
	const work: Work[] = [];
	for (let repeat = 1; repeat <= config.repeats; repeat++) {
		const foldOf = dealFolds(dataset, config.folds, config.seed, repeat);
		for (let fold = 1; fold <= config.folds; fold++) {
			const place = files.fold(repeat, fold);
			work.push({
				name: `repeat ${repeat}, fold ${fold}`,
				cost: config.variants.length * config.steps,
				isWhole: () => exists(files.readings(repeat, fold)),
				make: async (inFold, report) => {
					if (!(await exists(place.cohort))) {
						await makeFolder(dirname(place.cohort));
						await writeFold(place.cohort, dataset, foldOf, fold - 1, config.folds);
					}
					const file = files.readings(repeat, fold);
					await makeFolder(dirname(file));
					await readFold(file, { place, config, repeat, models }, { ...inFold, device: operation.device }, report);
				},
			});
		}
	}
	await doWork(stage, work, operation);
	const result = await summariseFolds(files, config, models, dataset, operation);
	await writeWhole(files.result, `${JSON.stringify(result, undefined, '\t')}\n`);
	await writeWhole(files.tables, crossValidationMarkdown(result));
	return result;
}

interface Fold {
	readonly place: ReturnType<CrossValidationFolder['fold']>;
	readonly config: ParsedCrossValidationOptions;
	readonly repeat: number;
	readonly models: readonly StudyModel[];
}

/** Tokens, index dates, training, states and probes of a fold. */
async function readFold(
	file: string,
	{ place, config, repeat, models }: Fold,
	operation: LongOperation & OnDevice,
	report: (share: number, note?: string) => void,
): Promise<void> {
	const { lifeCodes, indexDatesPerPatient: perPatient, seed } = config;
	const quiet = { signal: operation.signal, onWarning: operation.onWarning };
	const dataset = await openMeds(place.cohort);
	if (!(await exists(place.store))) await prepareStore(place.cohort, place.store, { lifeCodes }, quiet);
	if (!(await exists(place.tasks))) {
		const tasks = config.tasks ?? definitionsFor(dataset);
		await buildTasks(place.cohort, place.tasks, { tasks: [...tasks], perPatient, seed, lifeCodes }, quiet);
	}
	const store = await openTokenStore(place.store);
	try {
		const samples = await readSamples(place.tasks, undefined, operation.onWarning);
		const work = models
			.filter(({ kind }) => kind === 'encoder' || kind === 'untrained')
			.flatMap((model) => encoderWork(place, config, repeat, model, { store, samples, device: operation.device }));
		await doWork(stage, work, {
			...quiet,
			onProgress: ({ done, total, note }) => report((0.95 * done) / (total ?? done), note),
		});
		report(0.95, 'probes');
		await writeFoldReadings(file, place, config, repeat, models, dataset, samples, operation.signal);
	} finally {
		await store.close();
	}
}
