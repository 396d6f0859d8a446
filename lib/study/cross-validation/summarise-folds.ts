import type { MedsDataset } from '../../data/meds.js';
import { tooFewPatients } from '../../evaluate/probe.js';
import { outcomesOf } from '../../evaluate/samples.js';
import { nativeAddon } from '../../native.js';
import { packageVersion } from '../../package-version.js';
import { type LabelRow, readTasks } from '../../tasks/read.js';
import { type LongOperation, splits } from '../../types.js';
import { compare, comparisonBootstrap, comparisonLevel, type Measure } from '../comparison.js';
import { meansByHorizon } from '../measures.js';
import type { StudyModel } from '../options.js';
import { pairsOf } from '../summarise.js';
import { CrossValidationFile } from './cross-validation-file.js';
import type { CrossValidationFolder } from './cross-validation-folder.js';
import { type FoldReadings, readFoldReadings } from './fold-readings.js';
import type { ParsedCrossValidationOptions } from './options.js';
import { aurocWithinFolds, type FoldPredictions } from './within-folds.js';

const covers =
	'Percentile interval over resamples of patients, who are held out once in every repeat; means over repeats are formed within a resample. It holds which patients were measured, for the models that were trained, though those share patients to train on. It does not hold the luck of folds, initial weights and windows; that is in overSeeds, over repeats.';

type FoldTask = FoldReadings['tasks'][number];

/** Makes every number from the readings of all folds. */
export async function summariseFolds(
	files: CrossValidationFolder,
	config: ParsedCrossValidationOptions,
	models: readonly StudyModel[],
	dataset: MedsDataset,
	operation: LongOperation,
): Promise<CrossValidationFile> {
	const repeats: FoldReadings[][] = [];
	for (let repeat = 1; repeat <= config.repeats; repeat++) {
		const folds: FoldReadings[] = [];
		for (let fold = 1; fold <= config.folds; fold++) folds.push(await readFoldReadings(files.readings(repeat, fold)));
		repeats.push(folds);
	}
	const { list } = await readTasks(files.fold(1, 1).tasks);
	const names = models.map(({ name }) => name);
	const measured = list.tasks.map((_, t) =>
		measureOf(
			repeats.map((folds) => folds.map(({ tasks }) => tasks[t]!)),
			names,
		),
	);
	const measures = measured.map(({ measure }) => measure);
	const resampling = comparisonBootstrap(config, operation);
	const rows = await compare(measures, meansByHorizon(measures), pairsOf(models), resampling);
	return CrossValidationFile.parse({
		format: 'ehr-jepa/cross-validation',
		version: 1,
		package: packageVersion,
		torch: nativeAddon().buildInfo().torch,
		options: config,
		dataset: {
			name: dataset.name,
			fingerprint: dataset.fingerprint,
			patients: splits.reduce((sum, split) => sum + dataset.subjects[split].length, 0),
		},
		indexDates: { number: splits.reduce((sum, split) => sum + list.indexDates[split], 0), rule: list.rule },
		bootstrap: { draws: config.draws, level: comparisonLevel, unit: 'patient', covers },
		models: [...models],
		tasks: list.tasks.map(({ name, label, definition, horizonDays }, t) => ({
			name,
			label,
			definition,
			horizonDays,
			...measured[t]!.coverage,
		})),
		rows,
	} satisfies CrossValidationFile);
}

/** AUROC of one task, by repeat. @param repeats - (repeats, folds) readings of the task. */
function measureOf(repeats: readonly (readonly FoldTask[])[], models: readonly string[]) {
	const reasons = new Map<string, number>();
	const places = new Map<string, number>();
	const labels: LabelRow[] = [];
	const used = repeats.map((folds) =>
		folds.filter((fold) => {
			const reason = whyNotRead(fold, models);
			if (reason !== undefined) {
				reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
				return false;
			}
			for (const [i, key] of fold.samples.entries()) {
				if (places.has(key)) continue;
				places.set(key, labels.length);
				const [subject, time] = key.split('@') as [string, string];
				labels.push({ subjectId: BigInt(subject), predictionTime: BigInt(time), value: fold.truth[i] === 1 });
			}
			return true;
		}),
	);
	const predictions = (model: string, folds: readonly FoldTask[]) =>
		folds.map(({ samples, truth, models }): FoldPredictions => {
			const read = models[model]!;
			const probabilities = 'probabilities' in read ? read.probabilities : [];
			return { places: samples.map((key) => places.get(key)!), probabilities, truth: Uint8Array.from(truth) };
		});
	const { patients, nSamples, nPatients, nPositives } = outcomesOf(labels);
	const [first] = repeats[0]!;
	const measure: Measure = {
		quantity: 'auroc',
		task: first!.name,
		horizonDays: first!.horizonDays,
		patients,
		nSamples,
		nPatients,
		nPositives,
		undefinedReason:
			[...reasons.keys()].length > 0 && labels.length === 0 ? [...reasons.keys()][0] : tooFewPatients(labels),
		statistics: new Map(
			models.map((model) => [model, used.map((folds) => aurocWithinFolds(predictions(model, folds)))]),
		),
	};
	const all = repeats.flat();
	return {
		measure,
		coverage: {
			foldsRead: used.reduce((sum, folds) => sum + folds.length, 0),
			folds: all.length,
			notRead: [...reasons].map(([reason, folds]) => ({ reason, folds })),
			withoutState: all.reduce((sum, { withoutState }) => sum + withoutState, 0),
		},
	};
}

/** A fold counts for all models or for none, so that differences are paired. */
function whyNotRead({ models, samples, truth }: FoldTask, names: readonly string[]): string | undefined {
	if (samples.length === 0) return 'no samples in held-out';
	for (const name of names) {
		const read = models[name]!;
		if ('undefinedReason' in read) return read.undefinedReason;
	}
	if (!truth.includes(1)) return 'no positive in held-out';
	if (!truth.includes(0)) return 'no negative in held-out';
	return undefined;
}
