import type { MedsDataset } from '../data/meds.js';
import type { HeldOutLosses } from '../evaluate/held-out-losses.js';
import { nativeAddon } from '../native.js';
import { packageVersion } from '../package-version.js';
import type { TokenStore } from '../store/token-store.js';
import { openModel } from '../train/open-model.js';
import { RunFolder } from '../train/run-folder.js';
import type { LongOperation } from '../types.js';
import { compare, comparisonBootstrap, comparisonLevel, type Pairs } from './comparison.js';
import { aurocMeasures, type BySeed, latentStateMeasures, lossMeasures, meansByHorizon } from './measures.js';
import { type ParsedStudyOptions, readingName, type StudyModel } from './options.js';
import { readHeldOutLosses, readReading, type StudyReading, type StudySamples } from './readings.js';
import { StudyFile } from './study-file.js';
import type { StudyFolder } from './study-folder.js';
import { survivalMeasures } from './survival-measures.js';

const covers =
	'Percentile interval over resamples of held-out patients (for losses: of batches of held-out patients, none in two batches), the same for every model. Means over seeds are formed within a resample: the interval holds which patients were measured, for the models that were trained. It does not hold the luck of initial weights and windows; that is in overSeeds.';

/** What every piece of a study's work reads. */
export interface StudyData {
	readonly dataset: MedsDataset;
	readonly store: TokenStore;
	readonly samples: StudySamples;
}

/** Makes every number of a study from its readings and losses. Nothing in it depends on when or where it ran. */
export async function summarise(
	files: StudyFolder,
	config: ParsedStudyOptions,
	models: readonly StudyModel[],
	{ dataset, store, samples }: StudyData,
	operation: LongOperation,
): Promise<StudyFile> {
	const seeds = Array.from({ length: config.seeds }, (_, i) => i + 1);
	const readings = new Map<string, StudyReading[]>();
	const losses = new Map<string, HeldOutLosses[]>();
	for (const { name, kind } of models) {
		const own = kind === 'encoder' || kind === 'untrained' ? seeds : [null];
		readings.set(
			name,
			await Promise.all(own.map((seed) => readReading(files.reading(seed, name, readingName(config))))),
		);
		if (kind === 'encoder')
			losses.set(name, await Promise.all(seeds.map((seed) => readHeldOutLosses(files.losses(seed, name)))));
	}
	const bootstrap = comparisonBootstrap(config, operation);
	const predicting = models.filter(({ kind }) => kind !== 'ceiling').map(({ name }) => name);
	const predicted = new Map(predicting.map((name) => [name, readings.get(name)!]));
	const auroc = aurocMeasures(samples, predicted);
	const survival = survivalMeasures(samples.survival, predicted);
	const pairs = pairsOf(models);
	const rows = [
		...(await compare(
			[...auroc, ...survival, ...latentStateMeasures(samples, readings)],
			meansByHorizon(auroc),
			pairs,
			bootstrap,
		)),
		...(await compare(lossMeasures(losses), [], pairs, bootstrap)),
	];
	const { taskList } = samples;
	const tasks = new Map(
		[...taskList.tasks, ...taskList.timeToEvent].map(({ name, label, definition }) => [
			name,
			{ name, label, definition },
		]),
	);
	return StudyFile.parse({
		format: 'ehr-jepa/study',
		version: 1,
		package: packageVersion,
		torch: nativeAddon().buildInfo().torch,
		options: config,
		dataset: {
			name: dataset.name,
			fingerprint: dataset.fingerprint,
			patients: {
				train: dataset.subjects.train.length,
				tuning: dataset.subjects.tuning.length,
				held_out: dataset.subjects.held_out.length,
			},
			trainTokens: store.manifest.splits.train.tokens,
		},
		indexDates: { ...taskList.indexDates, rule: taskList.rule },
		budget: await budget(files, config, seeds),
		bootstrap: { draws: config.draws, level: comparisonLevel, unit: 'patient', covers },
		models: [...models],
		tasks: [...tasks.values()],
		rows,
		collapse: collapseOf(losses),
	} satisfies StudyFile);
}

/** Trained variants against SFT, their initial weights and the baselines. */
export function pairsOf(models: readonly StudyModel[]): Pairs {
	const trained = models.filter(({ kind }) => kind === 'encoder').map(({ name }) => name);
	const others = models.filter(({ kind }) => kind !== 'encoder' && kind !== 'ceiling').map(({ name }) => name);
	return trained.flatMap((model) =>
		[...(trained.includes('sft') && model !== 'sft' ? ['sft'] : []), ...others].map((minus) => [model, minus] as const),
	);
}

/** Variants of a seed see the same windows: the first one's count is every one's. */
async function budget(files: StudyFolder, config: ParsedStudyOptions, seeds: readonly number[]) {
	const { variants, steps } = config;
	const tokensPerRun: number[] = [];
	for (const seed of seeds) {
		const run = await RunFolder.open(files.run(seed, variants[0]!));
		tokensPerRun.push((await run.metrics()).reduce((sum, line) => sum + (line.kind === 'train' ? line.tokens : 0), 0));
	}
	const { model } = await openModel(files.run(1, variants[0]!), { weights: 'initial', device: 'cpu' });
	const parameters = model.parameterCount;
	await model.close();
	return { parameters, runs: variants.length * seeds.length, stepsPerRun: steps, tokensPerRun };
}

/** Means over batches, each weighted with its predictions. */
function collapseOf(losses: BySeed<HeldOutLosses>): StudyFile['collapse'] {
	return [...losses].flatMap(([model, bySeed]) =>
		bySeed.flatMap(({ batches }, i) => {
			const watched = batches.flatMap(({ collapse, predictions }) =>
				collapse === null || predictions === 0 ? [] : [{ collapse, predictions }],
			);
			const [first] = watched;
			if (first === undefined) return [];
			const total = watched.reduce((sum, { predictions }) => sum + predictions, 0);
			const names = Object.keys(first.collapse) as (keyof typeof first.collapse)[];
			const monitors = Object.fromEntries(
				names.map((name) => [
					name,
					watched.reduce((sum, { collapse, predictions }) => sum + (predictions * collapse[name]) / total, 0),
				]),
			) as typeof first.collapse;
			return [{ model, seed: i + 1, monitors }];
		}),
	);
}
