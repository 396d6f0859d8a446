import { join } from 'node:path';
import { z } from 'zod';
import { latentsFolder } from '../cohort/latent-writer.js';
import { cohortName } from '../cohort/simulate.js';
import { parseConfig, positiveInteger, seed } from '../config.js';
import { type MedsDataset, openMeds } from '../data/meds.js';
import { DataError } from '../errors.js';
import { exists, writeWhole } from '../files/whole.js';
import { readStoreManifest, type StoreManifest, storeSummary } from '../store/manifest.js';
import {
	type IndexDateRow,
	type LabelRow,
	readIndexDates,
	readLabels,
	readTaskList,
	sampleKey,
	type TaskListEntry,
} from '../tasks/read.js';
import type { CohortFlowRow, LongOperation, Split } from '../types.js';
import { countFeatures } from './count-features.js';
import { readEmbeddings } from './embeddings.js';
import {
	EvaluatedModel,
	EvaluationFile,
	type LatentStateResult,
	type PairedDifference,
	type ProbeResult,
	type RolloutResult,
} from './evaluation-file.js';
import type { FeatureTable } from './features.js';
import { type BootstrapOptions, bootstrap, difference, type Statistic } from './intervals.js';
import { fitLatentProbe, type LatentPredictions, type LatentTargets, readLatents } from './latent-state.js';
import { RankedPredictions, rSquared } from './metrics.js';
import { fitProbe, rowsByKey, tooFewPatients } from './probe.js';
import type { RolloutTable } from './rollout.js';
import { evaluateRollout } from './rollout-evaluation.js';
import { readRollout } from './rollout-file.js';

export const EvaluateOptions = z.strictObject({
	/** MEDS folder: labels' history, count features, true latent states. */
	meds: z.string(),
	/** Folder written by `buildTasks`. */
	tasks: z.string(),
	/** Encoders with their embeddings (parquet written by `writeEmbeddings`) and rollouts (`writeRollout`), if any. The count baseline is always added. */
	models: z.array(EvaluatedModel.extend({ embeddings: z.string(), rollout: z.string().optional() })).min(1),
	/** Where evaluation.json is written. */
	out: z.string(),
	seed: seed.default(1),
	/** Bootstrap resamples. */
	draws: positiveInteger.default(1000),
	/** Token store of the embeddings: its cohort flow and summary go into the file, for the report. */
	store: z.string().optional(),
});
export type EvaluateOptions = z.input<typeof EvaluateOptions>;

interface Contender {
	readonly about: EvaluatedModel;
	readonly table: FeatureTable;
	readonly rowOf: ReadonlyMap<string, number>;
}

const level = 0.95;
export const countsModel: EvaluatedModel = {
	name: 'counts',
	label: 'Code counts',
	kind: 'counts',
	description: 'log(1 + count) of each code, whole history and last 180 days, and age; logistic or ridge regression',
};

/**
 * Reads frozen states by linear probes: AUROC, average precision and Brier score by task and horizon with patient-level
 * bootstrap intervals and paired differences; on a simulated cohort also R² of the true latent state. Writes
 * `evaluation.json`. Protocol: docs/evaluation.md.
 *
 * @throws {DataError} {ConfigError} {OutputError} {AbortedError} {NativeError}
 */
export async function evaluate(options: EvaluateOptions, operation: LongOperation = {}): Promise<EvaluationFile> {
	const config = parseConfig('evaluate', EvaluateOptions, options);
	const dataset = await openMeds(config.meds);
	const manifest = config.store === undefined ? undefined : await readStoreManifest(config.store);
	if (manifest !== undefined) {
		const file = join(config.store!, 'manifest.json');
		requireDataset(dataset, file, manifest.dataset.fingerprint, 'give the token store of the embeddings');
	}
	const taskList = await readTaskList(config.tasks);
	requireDataset(dataset, join(config.tasks, 'tasks.json'), taskList.dataFingerprint, 'build the tasks again');
	const indexDates = await readIndexDates(config.tasks);
	const contenders: Contender[] = [];
	for (const { embeddings, rollout: _, ...about } of config.models)
		contenders.push(contender(about, await readEmbeddings(embeddings)));
	contenders.push(contender(countsModel, await countFeatures(dataset, indexDates, operation.signal)));
	const latents = join(config.meds, latentsFolder);
	const simulated = dataset.name === cohortName && (await exists(latents));
	const work = new Evaluation(contenders, indexDates, {
		draws: config.draws,
		level,
		seed: config.seed,
		signal: operation.signal,
	});
	const rolledOut = simulated ? config.models.filter(({ rollout }) => rollout !== undefined) : [];
	const total = taskList.tasks.length + (simulated ? 4 : 0) + rolledOut.length;
	let done = 0;
	const report = () => operation.onProgress?.({ stage: 'probe', done: ++done, total, unit: 'tasks' });
	for (const task of taskList.tasks) {
		await work.task(task, await readLabels(join(config.tasks, task.directory)));
		report();
	}
	if (simulated) {
		const targetsByHorizon = await readLatents(latents, indexDates);
		for (const targets of targetsByHorizon) {
			await work.latentState(targets);
			report();
		}
		for (const { name, rollout } of rolledOut) {
			await work.rolledOut(name, await readRollout(rollout!), indexDates, targetsByHorizon);
			report();
		}
	}
	const file = evaluationFile(config, dataset, manifest, simulated, taskList, contenders, work);
	await writeWhole(config.out, `${JSON.stringify(file, undefined, '\t')}\n`);
	return file;
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

function evaluationFile(
	config: z.output<typeof EvaluateOptions>,
	dataset: MedsDataset,
	manifest: StoreManifest | undefined,
	simulated: boolean,
	taskList: Awaited<ReturnType<typeof readTaskList>>,
	contenders: readonly Contender[],
	work: Evaluation,
): EvaluationFile {
	const flow = taskList.tasks.map(
		(task): CohortFlowRow => ({
			stage: `${task.label}${task.horizonDays === null ? '' : `, ${task.horizonDays} days`}`,
			patients: task.patients,
			note: `${task.samples} samples, ${task.positives} positive; left out: ${task.excluded.censored} censored, ${task.excluded.prevalent} with the diagnosis before, ${task.excluded.inBuffer} with the event on the index day${task.matchingEvents === 0 ? '. No event of the data matches this task' : ''}`,
		}),
	);
	const tasks = new Map(taskList.tasks.map(({ name, label, definition }) => [name, { name, label, definition }]));
	return EvaluationFile.parse({
		format: 'ehr-jepa/evaluation',
		version: 1,
		createdAt: new Date().toISOString(),
		dataset: { name: dataset.name, fingerprint: dataset.fingerprint, simulated },
		seed: config.seed,
		bootstrap: { draws: config.draws, level, unit: 'patient' },
		indexDates: { ...taskList.indexDates, rule: taskList.rule },
		tasks: [...tasks.values()],
		models: contenders.map(({ about }) => about),
		probes: work.probes,
		latentState: work.latent,
		rollout: work.rollout,
		differences: work.differences,
		cohortFlow: [...(manifest?.cohortFlow ?? []), ...flow],
		...(manifest === undefined ? {} : { data: storeSummary(manifest) }),
	});
}

class Evaluation {
	readonly probes: ProbeResult[] = [];
	readonly latent: LatentStateResult[] = [];
	readonly rollout: RolloutResult[] = [];
	readonly differences: PairedDifference[] = [];
	readonly #contenders: readonly Contender[];
	readonly #splitOf: ReadonlyMap<string, Split>;
	readonly #bootstrap: BootstrapOptions;

	constructor(contenders: readonly Contender[], indexDates: readonly IndexDateRow[], options: BootstrapOptions) {
		this.#contenders = contenders;
		this.#splitOf = new Map(indexDates.map((row) => [sampleKey(row), row.split]));
		this.#bootstrap = options;
	}

	/** Reads predicted states of one model at every horizon. */
	async rolledOut(
		model: string,
		table: RolloutTable,
		indexDates: readonly IndexDateRow[],
		latents: readonly LatentTargets[],
	): Promise<void> {
		this.rollout.push(...(await evaluateRollout(model, table, indexDates, latents, this.#bootstrap)));
	}

	/** Fits and reads the probes of one task and horizon. */
	async task(task: TaskListEntry, labels: readonly LabelRow[]): Promise<void> {
		// Every model is read on the same samples, so that differences are paired.
		const bySplit: Record<Split, LabelRow[]> = { train: [], tuning: [], held_out: [] };
		for (const label of labels) {
			const key = sampleKey(label);
			const split = this.#splitOf.get(key);
			if (split !== undefined && this.#contenders.every(({ rowOf }) => rowOf.has(key))) bySplit[split].push(label);
		}
		const heldOut = bySplit.held_out;
		const truth = heldOut.map(({ value }) => (value ? 1 : 0));
		const patients = heldOut.map(({ subjectId }) => subjectId);
		const shared = {
			task: task.name,
			horizonDays: task.horizonDays,
			nSamples: heldOut.length,
			nPatients: new Set(patients).size,
			nPositives: truth.reduce<number>((sum, label) => sum + label, 0),
		};
		const tooFew = tooFewPatients(heldOut);
		const fitted: {
			about: EvaluatedModel;
			ranked: RankedPredictions;
			base: Omit<ProbeResult, 'auroc' | 'averagePrecision' | 'brier'>;
		}[] = [];
		for (const { about, table, rowOf } of this.#contenders) {
			const probe = await fitProbe(table, rowOf, bySplit);
			const base = {
				model: about.name,
				...shared,
				nTrainSamples: probe.nTrainSamples,
				nTrainPositives: probe.nTrainPositives,
			};
			const undefinedReason = 'undefinedReason' in probe ? probe.undefinedReason : tooFew;
			if ('undefinedReason' in probe || undefinedReason !== undefined) {
				const undefinedEstimate = { value: null, low: null, high: null, undefinedReason };
				this.probes.push({
					...base,
					l2: null,
					auroc: undefinedEstimate,
					averagePrecision: undefinedEstimate,
					brier: undefinedEstimate,
				});
			} else {
				fitted.push({
					about,
					ranked: new RankedPredictions(probe.probabilities, truth),
					base: { ...base, l2: probe.l2 },
				});
			}
		}
		const statistics: Statistic[] = fitted.flatMap(({ ranked }) => [
			(weights) => ranked.auroc(weights),
			(weights) => ranked.averagePrecision(weights),
			(weights) => ranked.brier(weights),
		]);
		const pairs = pairsOf(fitted.map(({ about }) => about));
		const { estimates, contrasts } = await bootstrap(
			patients,
			statistics,
			pairs.map(([a, b]) => difference(3 * a, 3 * b)),
			this.#bootstrap,
		);
		for (const [i, { base }] of fitted.entries()) {
			this.probes.push({
				...base,
				auroc: estimates[3 * i]!,
				averagePrecision: estimates[3 * i + 1]!,
				brier: estimates[3 * i + 2]!,
			});
		}
		for (const [i, [a, b]] of pairs.entries()) {
			this.differences.push({
				a: fitted[a]!.about.name,
				b: fitted[b]!.about.name,
				task: task.name,
				horizonDays: task.horizonDays,
				metric: 'auroc',
				difference: contrasts[i]!,
			});
		}
	}

	/** Fits and reads the ridge probes for the true latent state at one horizon. */
	async latentState(targets: LatentTargets): Promise<void> {
		const fitted: { about: EvaluatedModel; result: LatentPredictions }[] = [];
		for (const { about, table, rowOf } of this.#contenders) {
			const result = await fitLatentProbe(table, rowOf, targets);
			if ('undefinedReason' in result) {
				this.latent.push({
					model: about.name,
					axis: 'all',
					horizonDays: targets.horizonDays,
					r2: { value: null, low: null, high: null, undefinedReason: result.undefinedReason },
					nSamples: 0,
					nPatients: 0,
					l2: null,
				});
			} else fitted.push({ about, result });
		}
		const first = fitted[0];
		if (first === undefined) return;
		const axes = ['all', ...targets.axes];
		const outputs = targets.axes.length;
		const statistics: Statistic[] = fitted.flatMap(({ result: { predicted, truth, rows } }) => [
			(weights) => rSquared(predicted, truth, rows, outputs, weights),
			...targets.axes.map((_, axis): Statistic => {
				const column = (values: ArrayLike<number>) =>
					Float64Array.from({ length: rows }, (__, row) => values[row * outputs + axis]!);
				const [one, other] = [column(predicted), column(truth)];
				return (weights) => rSquared(one, other, rows, 1, weights);
			}),
		]);
		const pairs = pairsOf(fitted.map(({ about }) => about));
		const { estimates, contrasts } = await bootstrap(
			first.result.patients,
			statistics,
			pairs.map(([a, b]) => difference(a * axes.length, b * axes.length)),
			this.#bootstrap,
		);
		for (const [i, { about, result }] of fitted.entries()) {
			for (const [k, axis] of axes.entries()) {
				this.latent.push({
					model: about.name,
					axis,
					horizonDays: targets.horizonDays,
					r2: estimates[i * axes.length + k]!,
					nSamples: result.rows,
					nPatients: new Set(result.patients).size,
					l2: result.l2,
				});
			}
		}
		for (const [i, [a, b]] of pairs.entries()) {
			this.differences.push({
				a: fitted[a]!.about.name,
				b: fitted[b]!.about.name,
				task: 'latent-state',
				horizonDays: targets.horizonDays,
				metric: 'r2',
				difference: contrasts[i]!,
			});
		}
	}
}

function contender(about: EvaluatedModel, table: FeatureTable): Contender {
	return { about, table, rowOf: rowsByKey(table) };
}

/** Trained encoders against every baseline, and against the trained encoders listed before them. */
function pairsOf(models: readonly EvaluatedModel[]): [a: number, b: number][] {
	const pairs: [number, number][] = [];
	for (const [a, { kind }] of models.entries()) {
		if (kind !== 'encoder') continue;
		for (const [b, other] of models.entries()) {
			if (other.kind !== 'encoder' || b < a) pairs.push([a, b]);
		}
	}
	return pairs;
}
