import { ConfigError, DataError } from '../errors.js';
import { EvaluationFile } from '../evaluate/evaluation-file.js';
import { TrajectoriesFile } from '../evaluate/trajectories-file.js';
import { readJson } from '../files/json.js';
import { checked, type RunRecord, readRun } from './run-reader.js';

export interface ReportInput {
	/** Path of evaluation.json. */
	readonly evaluation: string;
	/** Run folders; `name` is the model's name in evaluation.json, `label` is for people. */
	readonly runs: readonly { readonly name: string; readonly label: string; readonly directory: string }[];
	/** Evaluations of earlier checkpoints of these runs: their numbers are drawn against tokens seen. */
	readonly earlier?: readonly string[];
	/** Path of trajectories.json: single patients and the map of states. */
	readonly trajectories?: string;
	readonly title?: string;
}

/** A run as the report shows it. */
export interface ReportRun extends RunRecord {
	readonly name: string;
	readonly label: string;
	/** Colour, shape and dash, the same in every chart. */
	readonly style: number;
	/** Whether the latent objective was on. */
	readonly latent: boolean;
}

export interface ReportRuns {
	readonly runs: readonly ReportRun[];
}

export interface ReportData extends ReportRuns {
	readonly title: string;
	readonly evaluation: EvaluationFile;
	readonly earlier: readonly EvaluationFile[];
	readonly trajectories: TrajectoriesFile | undefined;
	styleOf(model: string): number;
	labelOf(model: string): string;
	taskLabel(task: string): string;
}

/** Name that paired differences use for the true latent state, which is no task. */
const latentStateTask = 'latent-state';

/** @throws {DataError} Naming file and rule. {ConfigError} For runs that are not the models'. */
export async function readReportData(input: ReportInput): Promise<ReportData> {
	const evaluation = await readEvaluation(input.evaluation);
	requireRunsOfModels(input.runs, evaluation);
	const earlier: EvaluationFile[] = [];
	for (const file of input.earlier ?? []) {
		const other = await readEvaluation(file);
		requireSameData(file, other.dataset.fingerprint, evaluation);
		requireModelOfRun(file, other, input.runs);
		earlier.push(other);
	}
	const trajectories =
		input.trajectories === undefined ? undefined : await readTrajectories(input.trajectories, evaluation);
	const names = [...new Set([...evaluation.models.map(({ name }) => name), ...input.runs.map(({ name }) => name)])];
	const labels = new Map([
		...input.runs.map(({ name, label }) => [name, label] as const),
		...evaluation.models.map(({ name, label }) => [name, label] as const),
	]);
	const tasks = new Map(evaluation.tasks.map(({ name, label }) => [name, label]));
	const runs: ReportRun[] = [];
	for (const { name, label, directory } of input.runs) {
		const record = await readRun(directory);
		const latent = [...record.steps, ...record.tuning].some(({ latentLoss }) => latentLoss !== null);
		runs.push({ ...record, name, label, style: names.indexOf(name), latent });
	}
	return {
		title: input.title ?? `Patient world model: ${evaluation.dataset.name}`,
		evaluation,
		earlier,
		trajectories,
		runs,
		styleOf: (model) => names.indexOf(model),
		labelOf: (model) => labels.get(model) ?? model,
		taskLabel: (task) => tasks.get(task) ?? (task === latentStateTask ? 'True latent state' : task),
	};
}

/** @throws {ConfigError} For a run that is no model's, or two of one: what it has would stand beside no number. */
function requireRunsOfModels(runs: ReportInput['runs'], { models }: EvaluationFile): void {
	const names = models.map(({ name }) => name);
	const [stranger] = runs.filter(({ name }) => !names.includes(name));
	if (stranger !== undefined) {
		throw new ConfigError(
			`[report] run must have the name of a model of the evaluation (${names.join(', ')}) but is called ${stranger.name}; give it as name=folder`,
		);
	}
	const [twice] = runs.filter(({ name }, i) => runs.findIndex((run) => run.name === name) !== i);
	if (twice !== undefined)
		throw new ConfigError(`[report] run must be given once for a model but ${twice.name} has two folders`);
}

/** @throws {DataError} For an earlier evaluation of which nothing would be drawn. */
function requireModelOfRun(file: string, { models }: EvaluationFile, runs: ReportInput['runs']): void {
	if (models.some(({ name }) => runs.some((run) => run.name === name))) return;
	throw new DataError('report', {
		file,
		rule: 'must hold a model of a run that is given, whose tokens its numbers are drawn against',
		value: `models ${models.map(({ name }) => name).join(', ')}; runs ${runs.map(({ name }) => name).join(', ') || 'none'}`,
		fix: 'give the runs too: --run name=folder',
	});
}

async function readEvaluation(file: string): Promise<EvaluationFile> {
	const json = await readJson(file, { scope: 'report', fix: 'give the file that `evaluate` wrote' });
	const evaluation = checked(file, '', EvaluationFile, json);
	requireKnownNames(file, evaluation);
	return evaluation;
}

async function readTrajectories(file: string, evaluation: EvaluationFile): Promise<TrajectoriesFile> {
	const json = await readJson(file, { scope: 'report', fix: 'give the file that `evaluate --trajectories` wrote' });
	const trajectories = checked(file, '', TrajectoriesFile, json);
	requireSameData(file, trajectories.dataset, evaluation);
	const models = new Set(evaluation.models.map(({ name }) => name));
	const named = [
		...trajectories.map.models,
		...trajectories.strangers,
		...trajectories.patients.flatMap(({ moved, risks }) => [...moved, ...risks]),
	].map(({ model }) => model);
	const unknown = named.find((name) => !models.has(name));
	if (unknown !== undefined)
		throw new DataError('report', { file, rule: 'models must be those of the evaluation', value: unknown });
	return trajectories;
}

function requireSameData(file: string, found: string, { dataset }: EvaluationFile): void {
	if (found === dataset.fingerprint) return;
	throw new DataError('report', {
		file,
		rule: `must be of the evaluation's data set (${dataset.fingerprint.slice(0, 12)})`,
		value: found.slice(0, 12),
		fix: 'give files of the same evaluation',
	});
}

/** A row with a name that is not declared would silently be left out of every table. */
function requireKnownNames(file: string, evaluation: EvaluationFile): void {
	const models = new Set(evaluation.models.map(({ name }) => name));
	const tasks = new Set(evaluation.tasks.map(({ name }) => name));
	const requireModel = (place: string, name: string) => {
		if (!models.has(name))
			throw new DataError('report', { file, rule: `${place} must name one of "models"`, value: name });
	};
	for (const [i, { model, task }] of evaluation.probes.entries()) {
		requireModel(`probes.${i}.model`, model);
		if (!tasks.has(task))
			throw new DataError('report', { file, rule: `probes.${i}.task must name one of "tasks"`, value: task });
	}
	for (const [i, { model }] of evaluation.strata.entries()) requireModel(`strata.${i}.model`, model);
	for (const [i, { model }] of evaluation.latentState.entries()) requireModel(`latentState.${i}.model`, model);
	for (const [i, { model }] of evaluation.rollout.entries()) requireModel(`rollout.${i}.model`, model);
	for (const [i, { model }] of evaluation.timeToEvent?.results.entries() ?? [])
		requireModel(`timeToEvent.results.${i}.model`, model);
	for (const [i, { model }] of evaluation.classes?.results.entries() ?? [])
		requireModel(`classes.results.${i}.model`, model);
	for (const [i, { a, b }] of evaluation.differences.entries()) {
		requireModel(`differences.${i}.a`, a);
		requireModel(`differences.${i}.b`, b);
	}
}
