import type { Estimate } from '../evaluate/evaluation-file.js';
import { parseJson } from '../files/json.js';
import { type CollapseMonitor, collapseMonitors } from '../objective/collapse-monitors.js';
import type { Quantity, StudyFile, StudyRow } from './study-file.js';

const integer = (value: number) => value.toLocaleString('en-US');
const days = (horizon: number | null) => (horizon === null ? '' : horizon === 0 ? 'now' : `${horizon} d`);

/** A cell, and the reasons that notes below the table give for what is undefined. */
function cell(row: StudyRow | undefined, signed: boolean, notes: string[]): string {
	if (row === undefined) return '';
	const { estimate, overSeeds } = row;
	const { value, low, high }: Estimate = estimate;
	if (value === null) {
		const reason = estimate.undefinedReason ?? 'no reason given';
		if (!notes.includes(reason)) notes.push(reason);
		return `undefined (${notes.indexOf(reason) + 1})`;
	}
	const show = (number: number) => `${signed && number >= 0 ? '+' : ''}${number.toFixed(3)}`;
	const interval = low === null || high === null ? '' : ` [${show(low)}, ${show(high)}]`;
	return `${show(value)}${interval}${overSeeds === null ? '' : ` ±${overSeeds.sd.toFixed(3)}`}`;
}

/** Lines of a table with the same widths, for a terminal and for markdown. */
function lines(rows: readonly (readonly string[])[], separator: string): string[] {
	const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
	return rows.map((row) => row.map((text, column) => text.padEnd(widths[column]!)).join(separator));
}

function markdownTable(rows: readonly (readonly string[])[]): string {
	const [head, ...body] = lines(rows, ' | ');
	const rule = head!.replace(/[^|]/g, '-').replace(/-\|-/g, ' | ');
	return [head!, rule, ...body].map((line) => `| ${line} |`).join('\n');
}

/** The rows of a table of models by horizon. */
function byHorizon(
	file: StudyFile,
	quantity: Quantity,
	task: string,
	title: string,
	minus: (row: StudyRow) => boolean,
	notes: string[],
): string[][] {
	const rows = file.rows.filter(
		(row) => row.quantity === quantity && row.task === task && row.seed === null && minus(row),
	);
	const horizons = [...new Set(rows.map(({ horizonDays }) => horizonDays))];
	const names = [...new Set(rows.map(({ model, minus }) => JSON.stringify([model, minus])))];
	return [
		[title, ...horizons.map((horizon) => days(horizon) || 'value')],
		...names.map((name) => {
			const [model, against] = parseJson(name) as [string, string | null];
			return [
				against === null ? labelOf(file, model) : `${labelOf(file, model)} - ${labelOf(file, against)}`,
				...horizons.map((horizon) =>
					cell(
						rows.find((row) => row.model === model && row.minus === against && row.horizonDays === horizon),
						against !== null,
						notes,
					),
				),
			];
		}),
	];
}

function labelOf(file: StudyFile, model: string): string {
	return file.models.find(({ name }) => name === model)?.label ?? model;
}

const own = ({ minus }: StudyRow) => minus === null;
const differences = ({ minus }: StudyRow) => minus !== null;
const lossQuantities: readonly { readonly quantity: Quantity; readonly title: string }[] = [
	{ quantity: 'next-token-loss', title: 'next-token loss, nats' },
	{ quantity: 'latent-loss', title: 'latent loss' },
	{ quantity: 'latent-loss/batch-mean', title: 'latent loss / batch mean' },
	{ quantity: 'latent-loss/copy-context', title: 'latent loss / copied context' },
];

/** What stands behind an interval. */
function overSeeds({ options: { seeds } }: StudyFile): string {
	return seeds === 1 ? ', one seed' : ` ± standard deviation over ${seeds} seeds`;
}

/** The main numbers, for a terminal: means over seeds with intervals and the standard deviation over seeds. */
export function studySummary(file: StudyFile): string {
	const notes: string[] = [];
	const parts = [
		byHorizon(file, 'auroc', 'mean of tasks', 'AUROC, mean of tasks', own, notes),
		byHorizon(file, 'auroc', 'mean of tasks', 'difference', ({ minus }) => minus === 'sft', notes),
		byHorizon(file, 'r2', 'latent state', 'R2 of the true state', own, notes),
		byHorizon(file, 'r2', 'latent state', 'difference', ({ minus }) => minus === 'sft', notes),
		lossTable(file, notes),
	].filter((rows) => rows.length > 1);
	return [
		parts.map((rows) => lines(rows, '  ').join('\n')).join('\n\n'),
		'',
		`[patient-level ${file.bootstrap.level * 100} % interval]${overSeeds(file)}; every number: study.json`,
		...notes.map((note, i) => `(${i + 1}) ${note}`),
	].join('\n');
}

function lossTable(file: StudyFile, notes: string[]): string[][] {
	const rows = file.rows.filter((row) => row.task === 'held-out windows' && row.seed === null && own(row));
	const models = [...new Set(rows.map(({ model }) => model))];
	return [
		['held-out windows', ...lossQuantities.map(({ title }) => title)],
		...models.map((model) => [
			labelOf(file, model),
			...lossQuantities.map(
				({ quantity }) =>
					cell(
						rows.find((row) => row.model === model && row.quantity === quantity),
						false,
						notes,
					) || 'not trained on',
			),
		]),
	];
}

function collapseTable(file: StudyFile): string[][] {
	const models = [...new Set(file.collapse.map(({ model }) => model))];
	const monitors = (Object.keys(collapseMonitors) as CollapseMonitor[]).flatMap((name) => {
		const { study } = collapseMonitors[name];
		return study === null ? [] : [[name, study] as const];
	});
	return [
		['monitor', ...models.map((model) => labelOf(file, model))],
		...monitors.map(([name, title]) => [
			title,
			...models.map((model) => {
				const values = file.collapse.filter((row) => row.model === model).map((row) => row.monitors[name]);
				const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
				return `${mean.toPrecision(3)} (${Math.min(...values).toPrecision(3)} to ${Math.max(...values).toPrecision(3)})`;
			}),
		]),
	];
}

/** How many samples and outcomes each task has. */
function taskTable(file: StudyFile, notes: string[]): string[][] {
	const rows = file.rows.filter(
		(row) => row.quantity === 'auroc' && row.task !== 'mean of tasks' && row.seed === null && own(row),
	);
	const keys = [...new Set(rows.map(({ task, horizonDays }) => JSON.stringify([task, horizonDays])))];
	return [
		['task', 'samples, positive, patients', ...file.models.map(({ label }) => label)],
		...keys.map((key) => {
			const here = rows.filter(({ task, horizonDays }) => JSON.stringify([task, horizonDays]) === key);
			const { task, horizonDays, nSamples, nPositives, nPatients } = here[0]!;
			return [
				`${task} ${days(horizonDays)}`.trim(),
				`${integer(nSamples)}, ${nPositives}, ${nPatients}`,
				...file.models.map(({ name }) =>
					cell(
						here.find(({ model }) => model === name),
						false,
						notes,
					),
				),
			];
		}),
	];
}

/** `study.md`: settings and every table. */
export function studyMarkdown(file: StudyFile): string {
	const { options, budget, dataset, indexDates, bootstrap } = file;
	const notes: string[] = [];
	const [least, most] = [Math.min(...budget.tokensPerRun), Math.max(...budget.tokensPerRun)];
	const sections: (readonly [title: string, rows: string[][]])[] = [
		['AUROC by horizon, mean of tasks', byHorizon(file, 'auroc', 'mean of tasks', 'model', own, notes)],
		[
			'Paired differences in AUROC, mean of tasks',
			byHorizon(file, 'auroc', 'mean of tasks', 'difference', differences, notes),
		],
		['R² of the true latent state', byHorizon(file, 'r2', 'latent state', 'model', own, notes)],
		[
			'Paired differences in R² of the true latent state',
			byHorizon(file, 'r2', 'latent state', 'difference', differences, notes),
		],
		['Losses on held-out windows', lossTable(file, notes)],
		['Collapse monitors on held-out windows, mean over seeds (range)', collapseTable(file)],
		['AUROC of every task', taskTable(file, notes)],
	];
	return `${[
		'# Study tables',
		`${options.seeds} ${options.seeds === 1 ? 'seed' : 'seeds'}, ${budget.runs} runs of ${integer(budget.stepsPerRun)} updates and ${integer(least)}${most === least ? '' : ` to ${integer(most)}`} tokens each; ${integer(budget.parameters)} parameters. ${integer(dataset.patients.train)} training patients (${integer(dataset.trainTokens)} tokens), ${dataset.patients.tuning} tuning, ${dataset.patients.held_out} held out; index dates ${integer(indexDates.train)}, ${integer(indexDates.tuning)}, ${integer(indexDates.held_out)}.`,
		`Mean over seeds [${bootstrap.level * 100} % interval over ${integer(bootstrap.draws)} resamples]${overSeeds(file)}. ${bootstrap.covers}`,
		...sections.filter(([, rows]) => rows.length > 1).map(([title, rows]) => `## ${title}\n\n${markdownTable(rows)}`),
		...(notes.length === 0 ? [] : [notes.map((note, i) => `(${i + 1}) ${note}`).join('\n')]),
	].join('\n\n')}\n`;
}
