import { type CollapseMonitor, collapseMonitors } from '../objective/collapse-monitors.js';
import type { Quantity, StudyFile } from './study-file.js';
import {
	byHorizon,
	cell,
	differences,
	integer,
	labelOf,
	lines,
	markdownTable,
	own,
	taskTable,
	timesOf,
	timesTable,
} from './tables.js';

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
		...timesOf(file).map(({ task }) => timesTable(file, task, task, own, notes)),
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
		...timesOf(file).flatMap(({ task, counts }): (readonly [string, string[][]])[] => [
			[`${task}: ${counts}`, timesTable(file, task, 'model', own, notes)],
			[`Paired differences: ${task}`, timesTable(file, task, 'difference', differences, notes)],
		]),
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
